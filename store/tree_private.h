/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_TREE_PRIVATE_H
#define OUROFS_TREE_PRIVATE_H

#include "tree.h"

/* A directory's table of names: tree_dir.c. hash is tree_hash of the name. */

uint32_t tree_hash(const struct tree_node *parent, struct slice name);
struct tree_node *tree_dir_find(const struct tree_node *node, struct slice name, uint32_t hash);
/* Room for one more: 0 or -ENOMEM. */
int tree_dir_reserve(struct tree_dir *dir);
void tree_dir_put(struct tree_dir *dir, struct tree_node *node, uint32_t hash);
void tree_dir_remove(struct tree_dir *dir, const struct tree_node *node);

#endif
