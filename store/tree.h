/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_TREE_H
#define OUROFS_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "buf.h"

/*
 * The tree: which names exist. An index in memory from paths to documents and directories, made from
 * memory.edn's keys and kept up with every change; it holds no values.
 *
 * A directory is there while something is below it or a collection's key stands there ("keyed").
 * Nodes stay where they are until they are removed. One writer, or any number of readers.
 */
struct tree;

struct tree_dir {
	struct tree_node *children; /* in no order */
	size_t child_count;
	bool keyed; /* a collection's key stands here: node->id is the key */
	bool has_mode;
	bool has_mtime;
	mode_t mode;
	struct timespec mtime;
};

struct tree_node {
	struct tree_node *parent; /* NULL: the root */
	struct tree_node *next, *previous;
	struct tree_dir *dir; /* NULL: a document */
	uint64_t ino;         /* the caller's, 0 unknown; readers may fill it in (atomics) */
	char *id;             /* the caller's: canonical EDN of a key or member, or NULL */
	size_t id_len;
	uint32_t hash;
	uint16_t name_len;
	uint16_t type; /* the caller's, 0 unknown */
	char name[];
};

static inline struct slice tree_name(const struct tree_node *node)
{
	return slice_of(node->name, node->name_len);
}

static inline struct slice tree_id(const struct tree_node *node)
{
	return slice_of(node->id, node->id_len);
}

/* How the times of directories follow a change of the tree. */
struct tree_times {
	struct timespec now;
	/*
	 * Those that come with their first name, or go with their last one, are in sight without it, too: the listing of
	 * the one above does not change.
	 */
	bool directories_stand;
};

/* Told of each directory whose listing changed, appeared or vanished, by path. */
typedef void tree_changed_fn(void *context, struct slice path);

int tree_new(struct tree **tree, tree_changed_fn *changed, void *context);
void tree_free(struct tree *tree);

struct tree_node *tree_root(const struct tree *tree);
struct tree_node *tree_find(const struct tree *tree, struct slice path); /* NULL: nothing there */
struct tree_node *tree_child(const struct tree *tree, const struct tree_node *dir,
	struct slice name);
void tree_path(const struct tree_node *node, struct buf *path);

/*
 * Adds a document (id may have ptr NULL), or a collection's directory, with the directories above. What is there
 * already stays, its id is set. Each directory whose listing changes gets its mtime of times (NULL while
 * loading: it gets none). 0, -ENOMEM, -EEXIST (something of the other kind), then nothing changed
 * but directories that nothing holds, which the next removal below takes along.
 */
int tree_add_document(struct tree *tree, struct slice path, struct slice id,
	const struct tree_times *times);
int tree_add_collection(struct tree *tree, struct slice path, struct slice key,
	const struct tree_times *times);
/*
 * Removes a document, or the key of a directory; directories that nothing holds any more go too.
 */
void tree_remove(struct tree *tree, struct tree_node *node, const struct tree_times *times);

/* The children, sorted by name's bytes, as an array to free; NULL with *count > 0: out of memory. */
struct tree_node **tree_sorted(const struct tree_node *dir, size_t *count);
/* Depth first, directories before what is below them: the node behind node, below top; or NULL. */
struct tree_node *tree_next(const struct tree_node *top, const struct tree_node *node);

size_t tree_documents(const struct tree *tree);
size_t tree_directories(const struct tree *tree); /* without the root */

#endif
