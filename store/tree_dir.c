/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "hash.h"
#include "tree_private.h"

enum { FIRST_CAP = 4 };

/* ---- a directory's table of names: open addressing, hashes beside the nodes, which are elsewhere in memory ---- */

uint32_t tree_hash(const struct tree_node *parent, struct slice name)
{
	uint64_t hash = hash64(name.ptr, name.len, (uint64_t)(uintptr_t)parent);

	return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t *hashes_of(const struct tree_dir *dir)
{
	return (uint32_t *)(dir->slots + dir->cap);
}

/* The place of the name, or where it would be. */
static uint32_t find_slot(const struct tree_dir *dir, struct slice name, uint32_t hash)
{
	const uint32_t *hashes = hashes_of(dir);
	uint32_t mask = dir->cap - 1;
	uint32_t i = hash & mask;

	for (; dir->slots[i]; i = (i + 1) & mask)
		if (hashes[i] == hash && slice_equal(tree_name(dir->slots[i]), name))
			break;
	return i;
}

struct tree_node *tree_dir_find(const struct tree_node *node, struct slice name, uint32_t hash)
{
	const struct tree_dir *dir = node->dir;

	return dir->cap ? dir->slots[find_slot(dir, name, hash)] : NULL;
}

struct tree_node *tree_child(const struct tree_node *dir, struct slice name)
{
	return tree_dir_find(dir, name, tree_hash(dir, name));
}

void tree_dir_put(struct tree_dir *dir, struct tree_node *node, uint32_t hash)
{
	uint32_t mask = dir->cap - 1;
	uint32_t i = hash & mask;

	while (dir->slots[i])
		i = (i + 1) & mask;
	dir->slots[i] = node;
	hashes_of(dir)[i] = hash;
}

int tree_dir_reserve(struct tree_dir *dir)
{
	struct tree_dir grown = *dir;

	if (dir->child_count + 1 <= dir->cap - dir->cap / 4)
		return 0;
	if (dir->cap > UINT32_MAX / 2)
		return -ENOMEM;
	grown.cap = dir->cap ? dir->cap * 2 : FIRST_CAP;
	grown.slots = calloc(grown.cap, sizeof(*grown.slots) + sizeof(uint32_t));
	if (!grown.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < dir->cap; i++)
		if (dir->slots[i])
			tree_dir_put(&grown, dir->slots[i], hashes_of(dir)[i]);
	free(dir->slots);
	*dir = grown;
	return 0;
}

void tree_dir_remove(struct tree_dir *dir, const struct tree_node *node)
{
	uint32_t *hashes = hashes_of(dir);
	uint32_t mask = dir->cap - 1;
	uint32_t hole = find_slot(dir, tree_name(node), tree_hash(node->parent, tree_name(node)));

	dir->slots[hole] = NULL;
	for (uint32_t i = (hole + 1) & mask; dir->slots[i]; i = (i + 1) & mask) {
		uint32_t home = hashes[i] & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		dir->slots[hole] = dir->slots[i];
		hashes[hole] = hashes[i];
		dir->slots[i] = NULL;
		hole = i;
	}
}

struct tree_node *tree_child_at(const struct tree_node *dir, size_t *at)
{
	while (*at < dir->dir->cap) {
		struct tree_node *node = dir->dir->slots[(*at)++];

		if (node)
			return node;
	}
	return NULL;
}

/* ---- walking ---- */

static int compare_names(const void *a, const void *b)
{
	return slice_compare(tree_name(*(struct tree_node *const *)a),
		tree_name(*(struct tree_node *const *)b));
}

struct tree_node **tree_sorted(const struct tree *tree, const struct tree_node *dir, size_t *count)
{
	struct tree_node **nodes;
	size_t i = 0, at = 0;

	*count = 1;
	if (tree_load(tree, dir))
		return NULL;
	*count = dir->dir->child_count;
	nodes = malloc((*count ? *count : 1) * sizeof(struct tree_node *));
	if (!nodes)
		return NULL;
	for (struct tree_node *node; (node = tree_child_at(dir, &at));)
		nodes[i++] = node;
	if (i)
		qsort(nodes, i, sizeof(struct tree_node *), compare_names);
	return nodes;
}

bool tree_has_documents(const struct tree_node *dir)
{
	struct tree_node *child;
	size_t at = 0;

	while ((child = tree_child_at(dir, &at)) && child->dir)
		;
	return child != NULL;
}

struct tree_node *tree_next(const struct tree_node *top, const struct tree_node *node)
{
	struct tree_node *next = NULL;
	size_t at = 0;

	if (node->dir)
		next = tree_child_at(node, &at);
	while (!next && node != top) {
		const struct tree_node *parent = node->parent;
		struct slice name = tree_name(node);

		at = (size_t)find_slot(parent->dir, name, tree_hash(parent, name)) + 1;
		next = tree_child_at(parent, &at);
		node = parent;
	}
	return next;
}
