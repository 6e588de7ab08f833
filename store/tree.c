/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

enum { FIRST_CAP = 64 };

struct tree {
	struct tree_node *root;
	struct tree_node **slots; /* every node but the root, by parent and name */
	size_t cap;               /* a power of two */
	size_t documents, directories;
	tree_changed_fn *changed;
	void *context;
};

/* ---- the table of names ---- */

static uint32_t hash_of(const struct tree_node *parent, struct slice name)
{
	uint64_t hash = hash64(name.ptr, name.len, (uint64_t)(uintptr_t)parent);

	return (uint32_t)(hash ^ hash >> 32);
}

static size_t find_slot(const struct tree *tree, const struct tree_node *parent, struct slice name,
	uint32_t hash)
{
	size_t mask = tree->cap - 1;
	size_t i = hash & mask;

	for (; tree->slots[i]; i = (i + 1) & mask) {
		const struct tree_node *node = tree->slots[i];

		if (node->hash == hash && node->parent == parent &&
			slice_equal(tree_name(node), name))
			break;
	}
	return i;
}

static int grow(struct tree *tree)
{
	size_t cap = tree->cap ? tree->cap * 2 : FIRST_CAP;
	struct tree_node **slots = calloc(cap, sizeof(struct tree_node *));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < tree->cap; i++) {
		size_t to;

		if (!tree->slots[i])
			continue;
		for (to = tree->slots[i]->hash & (cap - 1); slots[to];)
			to = (to + 1) & (cap - 1);
		slots[to] = tree->slots[i];
	}
	free(tree->slots);
	tree->slots = slots;
	tree->cap = cap;
	return 0;
}

static void remove_slot(struct tree *tree, const struct tree_node *node)
{
	size_t mask = tree->cap - 1;
	size_t hole = find_slot(tree, node->parent, tree_name(node), node->hash);

	tree->slots[hole] = NULL;
	for (size_t i = (hole + 1) & mask; tree->slots[i]; i = (i + 1) & mask) {
		size_t home = tree->slots[i]->hash & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		tree->slots[hole] = tree->slots[i];
		tree->slots[i] = NULL;
		hole = i;
	}
}

/* ---- nodes ---- */

static void free_node(struct tree_node *node)
{
	free(node->id);
	free(node->dir);
	free(node);
}

static struct tree_node *new_node(struct slice name, bool directory)
{
	struct tree_node *node;

	if (name.len > UINT16_MAX)
		return NULL;
	node = calloc(1, sizeof(*node) + name.len);
	if (!node)
		return NULL;
	node->name_len = (uint16_t)name.len;
	if (name.len)
		memcpy(node->name, name.ptr, name.len);
	if (directory) {
		node->dir = calloc(1, sizeof(*node->dir));
		if (!node->dir) {
			free_node(node);
			return NULL;
		}
	}
	return node;
}

static int set_id(struct tree_node *node, struct slice id)
{
	char *copy;

	if (!id.ptr || (node->id && slice_equal(tree_id(node), id)))
		return 0;
	copy = malloc(id.len ? id.len : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, id.ptr, id.len);
	free(node->id);
	node->id = copy;
	node->id_len = id.len;
	return 0;
}

static void tell(const struct tree *tree, struct tree_node *dir, const struct tree_times *times)
{
	struct buf path = BUF_INIT;

	if (!times)
		return;
	dir->dir->mtime = times->now;
	dir->dir->has_mtime = true;
	tree_path(dir, &path);
	if (!buf_error(&path))
		tree->changed(tree->context, buf_slice(&path));
	buf_release(&path);
}

static struct tree_node *add_child(struct tree *tree, struct tree_node *parent, struct slice name,
	bool directory, const struct tree_times *times)
{
	size_t nodes = tree->documents + tree->directories;
	struct tree_node *node = new_node(name, directory);

	if (!node)
		return NULL;
	if ((nodes + 1) * 8 > tree->cap * 5 && grow(tree)) {
		free_node(node);
		return NULL;
	}
	node->parent = parent;
	node->hash = hash_of(parent, name);
	tree->slots[find_slot(tree, parent, name, node->hash)] = node;
	node->next = parent->dir->children;
	if (node->next)
		node->next->previous = node;
	parent->dir->children = node;
	parent->dir->child_count++;
	*(directory ? &tree->directories : &tree->documents) += 1;
	if (!(directory && times && times->directories_stand))
		tell(tree, parent, times);
	if (directory)
		tell(tree, node, times);
	return node;
}

static void unlink_child(struct tree *tree, struct tree_node *node)
{
	struct tree_node *parent = node->parent;

	remove_slot(tree, node);
	if (node->previous)
		node->previous->next = node->next;
	else
		parent->dir->children = node->next;
	if (node->next)
		node->next->previous = node->previous;
	parent->dir->child_count--;
	*(node->dir ? &tree->directories : &tree->documents) -= 1;
}

/* ---- the tree ---- */

int tree_new(struct tree **tree, tree_changed_fn *changed, void *context)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->changed = changed;
	t->context = context;
	t->root = new_node(slice_of("", 0), true);
	if (!t->root || grow(t)) {
		tree_free(t);
		return -ENOMEM;
	}
	*tree = t;
	return 0;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->cap; i++) {
		if (tree->slots[i])
			free_node(tree->slots[i]);
	}
	if (tree->root)
		free_node(tree->root);
	free(tree->slots);
	free(tree);
}

struct tree_node *tree_root(const struct tree *tree)
{
	return tree->root;
}

struct tree_node *tree_child(const struct tree *tree, const struct tree_node *dir,
	struct slice name)
{
	return tree->slots[find_slot(tree, dir, name, hash_of(dir, name))];
}

/* Cuts the first name off path. */
static struct slice next_name(struct slice *path)
{
	const char *slash = path->len ? memchr(path->ptr, '/', path->len) : NULL;
	size_t len = slash ? (size_t)(slash - path->ptr) : path->len;
	struct slice name = slice_of(path->ptr, len);

	*path = slash ? slice_of(slash + 1, path->len - len - 1) : slice_of(path->ptr + len, 0);
	return name;
}

struct tree_node *tree_find(const struct tree *tree, struct slice path)
{
	struct tree_node *node = tree->root;

	while (node && path.len)
		node = node->dir ? tree_child(tree, node, next_name(&path)) : NULL;
	return node;
}

void tree_path(const struct tree_node *node, struct buf *path)
{
	const struct tree_node *at;
	size_t len = 0;
	char *end;

	for (at = node; at->parent; at = at->parent)
		len += (size_t)at->name_len + 1;
	if (!len || !buf_reserve(path, len))
		return;
	end = path->ptr + path->len + --len;
	path->len += len;
	for (at = node; at->parent; at = at->parent) {
		end -= at->name_len;
		memcpy(end, at->name, at->name_len);
		if (at->parent->parent)
			*--end = '/';
	}
}

static struct tree_node *make_directories(struct tree *tree, struct slice path,
	const struct tree_times *times, int *ret)
{
	struct tree_node *node = tree->root;

	while (path.len) {
		struct slice name = next_name(&path);
		struct tree_node *child = tree_child(tree, node, name);

		if (child && !child->dir) {
			*ret = -EEXIST;
			return NULL;
		}
		if (!child)
			child = add_child(tree, node, name, true, times);
		if (!child) {
			*ret = -ENOMEM;
			return NULL;
		}
		node = child;
	}
	return node;
}

int tree_add_document(struct tree *tree, struct slice path, struct slice id,
	const struct tree_times *times)
{
	const char *slash = path.len ? memrchr(path.ptr, '/', path.len) : NULL;
	size_t above = slash ? (size_t)(slash - path.ptr) : 0;
	struct slice name = slash ? slice_of(slash + 1, path.len - above - 1) : path;
	struct tree_node *parent, *node;
	int ret = 0;

	parent = make_directories(tree, slice_of(path.ptr, above), times, &ret);
	if (!parent)
		return ret;
	node = tree_child(tree, parent, name);
	if (node && node->dir)
		return -EEXIST;
	if (!node)
		node = add_child(tree, parent, name, false, times);
	return node ? set_id(node, id) : -ENOMEM;
}

int tree_add_collection(struct tree *tree, struct slice path, struct slice key,
	const struct tree_times *times)
{
	int ret = 0;
	struct tree_node *node = make_directories(tree, path, times, &ret);

	if (!node)
		return ret;
	ret = set_id(node, key);
	if (!ret)
		node->dir->keyed = true;
	return ret;
}

void tree_remove(struct tree *tree, struct tree_node *node, const struct tree_times *times)
{
	bool shows =
		true; /* in the directory above; of a key's own directory it is said that it goes */

	if (node->dir)
		node->dir->keyed = false;
	while (node->parent && !(node->dir && (node->dir->keyed || node->dir->child_count))) {
		struct tree_node *parent = node->parent;

		if (node->dir)
			tell(tree, node, times);
		unlink_child(tree, node);
		free_node(node);
		if (shows)
			tell(tree, parent, times);
		shows = !(times && times->directories_stand);
		node = parent;
	}
}

static int compare_names(const void *a, const void *b)
{
	return slice_compare(tree_name(*(struct tree_node *const *)a),
		tree_name(*(struct tree_node *const *)b));
}

struct tree_node **tree_sorted(const struct tree_node *dir, size_t *count)
{
	struct tree_node **nodes;
	size_t i = 0;

	*count = dir->dir->child_count;
	nodes = malloc((*count ? *count : 1) * sizeof(struct tree_node *));
	if (!nodes)
		return NULL;
	for (struct tree_node *node = dir->dir->children; node; node = node->next)
		nodes[i++] = node;
	if (i)
		qsort(nodes, i, sizeof(struct tree_node *), compare_names);
	return nodes;
}

struct tree_node *tree_next(const struct tree_node *top, const struct tree_node *node)
{
	if (node->dir && node->dir->children)
		return node->dir->children;
	while (node != top && !node->next)
		node = node->parent;
	return node == top ? NULL : node->next;
}

size_t tree_documents(const struct tree *tree)
{
	return tree->documents;
}

size_t tree_directories(const struct tree *tree)
{
	return tree->directories;
}
