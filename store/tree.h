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
 *
 * The members of a collection may be left away until someone looks into its directory: then the first who does, a
 * reader too, loads them, while others wait for him. Whoever adds to or removes from the collection loads it before.
 * They may be sent away again, as what they are made from knows all that the tree does.
 */
struct tree;

struct tree_dir {
	struct tree_node **slots; /* the children, by the hash of their names, which stand behind */
	uint32_t cap;
	uint32_t child_count; /* without those that are away */
	uint32_t away_count;
	bool away;    /* readers may unset it (atomics) */
	bool counted; /* away_count is known */
	bool wanted;  /* someone looked into it since it was away; readers may set it (atomics) */
	bool keyed;   /* a collection's key stands here: node->id is the key */
	bool has_mode;
	bool has_mtime;
	mode_t mode;
	struct timespec mtime;
};

struct tree_node {
	struct tree_node *parent; /* NULL: the root */
	struct tree_dir *dir;     /* NULL: a document */
	uint64_t ino;             /* the caller's, 0 unknown; readers may fill it in (atomics) */
	struct tree_id *id;       /* the caller's: canonical EDN of a key or member, or NULL */
	uint16_t name_len;
	uint16_t type; /* the caller's, 0 unknown */
	char name[];
};

struct tree_id {
	uint32_t len;
	char text[];
};

static inline struct slice tree_name(const struct tree_node *node)
{
	return slice_of(node->name, node->name_len);
}

static inline struct slice tree_id(const struct tree_node *node)
{
	return node->id ? slice_of(node->id->text, node->id->len) : slice_of(NULL, 0);
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

/* Adds the members of a collection with tree_add_member. 0 or negative errno: then it is called again later. */
typedef int tree_load_fn(void *context, struct tree_node *dir);

struct tree_calls {
	tree_changed_fn *changed; /* may be NULL where `when` is, always */
	tree_load_fn *load;       /* may be NULL where nothing is left away */
	void *context;
};

int tree_new(struct tree **tree, const struct tree_calls *calls);
void tree_free(struct tree *tree);

struct tree_node *tree_root(const struct tree *tree);
/* 0, -ENOENT, or what loading can fail with. *node is NULL but on success. */
int tree_find(const struct tree *tree, struct slice path, struct tree_node **node);
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
/* Of a new collection's directory: its members are loaded when they are needed. */
void tree_leave_away(struct tree *tree, struct tree_node *dir);
/*
 * Those of this directory; and of all below it, by who does not look into each. 0, or what loading can fail with.
 */
int tree_load(const struct tree *tree, const struct tree_node *dir);
int tree_load_below(const struct tree *tree, struct tree_node *top);
bool tree_has_away(const struct tree *tree);
/*
 * The members of the collection at path leave memory until someone looks again: its directory, or NULL where there is
 * none, or they are away. And those of all collections that nobody has looked into.
 */
struct tree_node *tree_send_away(struct tree *tree, struct slice path);
void tree_send_unwanted_away(struct tree *tree);
/* Where the members of the collection in which path would be one are away: its directory, else NULL. */
const struct tree_node *tree_away_above(const struct tree *tree, struct slice path);
/* Between these two nobody loads: a reader may walk over the whole. */
void tree_hold(const struct tree *tree);
void tree_let_go(const struct tree *tree);
/* Of what was never loaded nobody has counted the members. With the tree held. */
bool tree_has_uncounted(const struct tree *tree);
static inline bool tree_is_uncounted(const struct tree_node *node)
{
	return node->dir && node->dir->away && !node->dir->counted;
}
void tree_set_count(const struct tree *tree, struct tree_node *dir, uint32_t count);
/* For loading: a document in dir. What is there already stays. 0 or -ENOMEM. */
int tree_add_member(struct tree *tree, struct tree_node *dir, struct slice name, struct slice id);
/*
 * Removes a document, or the key of a directory; directories that nothing holds any more go too.
 */
void tree_remove(struct tree *tree, struct tree_node *node, const struct tree_times *times);

/* The children, sorted by name's bytes, as an array to free; NULL with *count > 0: out of memory. */
struct tree_node **tree_sorted(const struct tree *tree, const struct tree_node *dir, size_t *count);
/* The one of that name, or NULL; loads nothing. */
struct tree_node *tree_child(const struct tree_node *dir, struct slice name);
/* The children in no order: *at begins as 0. NULL: no more. Loads nothing, nor does tree_next. */
struct tree_node *tree_child_at(const struct tree_node *dir, size_t *at);
bool tree_has_documents(const struct tree_node *dir);
/* Depth first, directories before what is below them: the node behind node, below top; or NULL. */
struct tree_node *tree_next(const struct tree_node *top, const struct tree_node *node);

/* With what is away, where it was counted. */
size_t tree_documents(const struct tree *tree);
size_t tree_directories(const struct tree *tree); /* without the root */

#endif
