/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "hash.h"
#include "huge.h"
#include "tree_private.h"

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

/* Where the search for a name begins: any capacity will do, so that a table of a million need not be twice as large. */
static uint32_t home_of(const struct tree_dir *dir, uint32_t hash)
{
	return (uint32_t)((uint64_t)hash * dir->cap >> 32);
}

static uint32_t behind(const struct tree_dir *dir, uint32_t slot)
{
	return slot + 1 == dir->cap ? 0 : slot + 1;
}

/* How far behind from it is, around the end. */
static uint32_t distance(const struct tree_dir *dir, uint32_t from, uint32_t slot)
{
	return slot >= from ? slot - from : dir->cap - from + slot;
}

/* The place of the name, or where it would be. */
static uint32_t find_slot(const struct tree_dir *dir, struct slice name, uint32_t hash)
{
	const uint32_t *hashes = hashes_of(dir);
	uint32_t i = home_of(dir, hash);

	for (; dir->slots[i]; i = behind(dir, i))
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
	uint32_t i = home_of(dir, hash);

	while (dir->slots[i])
		i = behind(dir, i);
	dir->slots[i] = node;
	hashes_of(dir)[i] = hash;
}

/* ---- its size ---- */

/* Three of four slots are used at most: longer searches cost more than memory. */
static uint64_t cap_for(uint64_t children)
{
	return children + children / 3 + 1;
}

enum { SLOT_BYTES = sizeof(struct tree_node *) + sizeof(uint32_t) };

void tree_dir_free_slots(const struct tree_dir *dir)
{
	huge_free(dir->slots, dir->cap * (size_t)SLOT_BYTES);
}

static int alloc_slots(struct tree_dir *dir, uint64_t cap)
{
	if (cap > UINT32_MAX)
		return -ENOMEM;
	dir->cap = (uint32_t)cap;
	dir->slots = cap ? huge_alloc(cap * SLOT_BYTES) : NULL;
	return !cap || dir->slots ? 0 : -ENOMEM;
}

static int resize(struct tree_dir *dir, uint64_t cap)
{
	struct tree_dir resized = *dir;

	if (alloc_slots(&resized, cap))
		return -ENOMEM;
	for (uint32_t i = 0; i < dir->cap; i++)
		if (dir->slots[i])
			tree_dir_put(&resized, dir->slots[i], hashes_of(dir)[i]);
	tree_dir_free_slots(dir);
	dir->slots = resized.slots;
	dir->cap = resized.cap;
	return 0;
}

int tree_dir_reserve(struct tree_dir *dir)
{
	uint64_t children = (uint64_t)dir->child_count + 1;

	return cap_for(children) <= dir->cap ? 0
					     : resize(dir, cap_for(children + children / 2 + 1));
}

void tree_dir_fit(struct tree_dir *dir)
{
	if (cap_for(dir->child_count) < dir->cap)
		(void)resize(dir, cap_for(dir->child_count));
}

int tree_dir_keep_directories(struct tree_dir *dir)
{
	struct tree_dir kept = *dir;
	uint32_t directories = 0;

	for (uint32_t i = 0; i < dir->cap; i++)
		directories += dir->slots[i] && dir->slots[i]->dir;
	if (alloc_slots(&kept, directories ? cap_for(directories) : 0))
		return -ENOMEM;
	for (uint32_t i = 0; kept.cap && i < dir->cap; i++)
		if (dir->slots[i] && dir->slots[i]->dir)
			tree_dir_put(&kept, dir->slots[i], hashes_of(dir)[i]);
	kept.child_count = directories;
	*dir = kept;
	return 0;
}

/* ---- going ---- */

void tree_dir_remove(struct tree_dir *dir, const struct tree_node *node)
{
	uint32_t *hashes = hashes_of(dir);
	uint32_t hole = find_slot(dir, tree_name(node), tree_hash(node->parent, tree_name(node)));

	dir->slots[hole] = NULL;
	for (uint32_t i = behind(dir, hole); dir->slots[i]; i = behind(dir, i)) {
		uint32_t home = home_of(dir, hashes[i]);

		if (distance(dir, home, i) < distance(dir, hole, i))
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
