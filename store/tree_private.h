/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_TREE_PRIVATE_H
#define OUROFS_TREE_PRIVATE_H

#include <pthread.h>

#include "slab.h"
#include "tree.h"

struct tree {
	struct tree_node *root;
	size_t documents, directories; /* that are here; atomics: readers load */
	/* directories whose members are away, and of those that were not counted; members of the others. Atomics */
	size_t away, uncounted, away_documents;
	struct tree_calls calls;
	pthread_mutex_t loading; /* held while a collection is loaded; guards what is away */
	struct slab_pool nodes;  /* guarded by loading, or the writer's alone */
};

/* Cuts the first name off path. */
struct slice tree_next_name(struct slice *path);
void tree_free_node(struct tree *tree, struct tree_node *node);

/* A directory's table of names: tree_dir.c. hash is tree_hash of the name. */

uint32_t tree_hash(const struct tree_node *parent, struct slice name);
struct tree_node *tree_dir_find(const struct tree_node *node, struct slice name, uint32_t hash);
/* Room for one more: 0 or -ENOMEM. */
int tree_dir_reserve(struct tree_dir *dir);
/* A table that grew has room for more than it needs: gives it back, if there is memory for another. */
void tree_dir_fit(struct tree_dir *dir);
/* Without its documents; these, and the slots as they were, are the caller's to free. 0 or -ENOMEM. */
int tree_dir_keep_directories(struct tree_dir *dir);
void tree_dir_free_slots(const struct tree_dir *dir);
void tree_dir_put(struct tree_dir *dir, struct tree_node *node, uint32_t hash);
void tree_dir_remove(struct tree_dir *dir, const struct tree_node *node);

#endif
