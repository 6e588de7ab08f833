/* SPDX-License-Identifier: MIT */
#include "lock_order.h"
#include "tree_private.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- nodes ---- */

static size_t node_bytes(size_t name_len)
{
	return offsetof(struct tree_node, name) + name_len;
}

void tree_free_node(struct tree *tree, struct tree_node *node)
{
	if (node->dir)
		tree_dir_free_slots(node->dir);
	free(node->dir);
	free(node->id);
	slab_free(&tree->nodes, node, node_bytes(node->name_len));
}

static struct tree_node *new_node(struct tree *tree, struct slice name, bool directory)
{
	struct tree_node *node;

	if (name.len > UINT16_MAX)
		return NULL;
	node = slab_alloc(&tree->nodes, node_bytes(name.len));
	if (!node)
		return NULL;
	memset(node, 0, node_bytes(0));
	node->name_len = (uint16_t)name.len;
	if (name.len)
		memcpy(node->name, name.ptr, name.len);
	if (directory) {
		node->dir = calloc(1, sizeof(*node->dir));
		if (!node->dir) {
			tree_free_node(tree, node);
			return NULL;
		}
	}
	return node;
}

static int set_id(struct tree_node *node, struct slice id)
{
	struct tree_id *copy;

	if (id.len > UINT32_MAX)
		return -ENOMEM;
	if (!id.ptr || (node->id && slice_equal(tree_id(node), id)))
		return 0;
	copy = malloc(sizeof(*copy) + id.len);
	if (!copy)
		return -ENOMEM;
	copy->len = (uint32_t)id.len;
	memcpy(copy->text, id.ptr, id.len);
	free(node->id);
	node->id = copy;
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
		tree->calls.changed(tree->calls.context, buf_slice(&path));
	buf_release(&path);
}

static size_t *count_of(struct tree *tree, const struct tree_node *node)
{
	return node->dir ? &tree->directories : &tree->documents;
}

static struct tree_node *add_child(struct tree *tree, struct tree_node *parent, struct slice name,
	uint32_t hash, bool directory, const struct tree_times *times)
{
	struct tree_node *node = new_node(tree, name, directory);

	if (!node)
		return NULL;
	if (tree_dir_reserve(parent->dir)) {
		tree_free_node(tree, node);
		return NULL;
	}
	node->parent = parent;
	tree_dir_put(parent->dir, node, hash);
	parent->dir->child_count++;
	__atomic_fetch_add(count_of(tree, node), 1, __ATOMIC_RELAXED);
	if (!(directory && times && times->directories_stand))
		tell(tree, parent, times);
	if (directory)
		tell(tree, node, times);
	return node;
}

static void unlink_child(struct tree *tree, struct tree_node *node)
{
	struct tree_node *parent = node->parent;

	tree_dir_remove(parent->dir, node);
	parent->dir->child_count--;
	__atomic_fetch_sub(count_of(tree, node), 1, __ATOMIC_RELAXED);
}

int tree_add_member(struct tree *tree, struct tree_node *dir, struct slice name, struct slice id)
{
	uint32_t hash = tree_hash(dir, name);
	struct tree_node *node = tree_dir_find(dir, name, hash);

	if (!node)
		node = add_child(tree, dir, name, hash, false, NULL);
	return node ? set_id(node, id) : -ENOMEM;
}

/* ---- the tree ---- */

int tree_new(struct tree **tree, const struct tree_calls *calls)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->calls = *calls;
	mutex_init(&t->loading, LOCK_TREE);
	t->root = new_node(t, slice_of("", 0), true);
	if (!t->root) {
		tree_free(t);
		return -ENOMEM;
	}
	*tree = t;
	return 0;
}

/* From the leaves up; what is below has no way back to it. */
static void free_below(struct tree *tree, struct tree_node *top)
{
	struct tree_node *node = top;

	while (node) {
		struct tree_node *parent = node == top ? NULL : node->parent;
		struct tree_dir *dir = node->dir;
		struct tree_node *child = NULL;

		while (dir && dir->cap && !(child = dir->slots[dir->cap - 1]))
			dir->cap--;
		if (child) {
			dir->cap--;
			node = child;
			continue;
		}
		tree_free_node(tree, node);
		node = parent;
	}
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	if (tree->root)
		free_below(tree, tree->root);
	slab_pool_release(&tree->nodes);
	pthread_mutex_destroy(&tree->loading);
	free(tree);
}

struct tree_node *tree_root(const struct tree *tree)
{
	return tree->root;
}

struct slice tree_next_name(struct slice *path)
{
	const char *slash = path->len ? memchr(path->ptr, '/', path->len) : NULL;
	size_t len = slash ? (size_t)(slash - path->ptr) : path->len;
	struct slice name = slice_of(path->ptr, len);

	*path = slash ? slice_of(slash + 1, path->len - len - 1) : slice_of(path->ptr + len, 0);
	return name;
}

int tree_find(const struct tree *tree, struct slice path, struct tree_node **found)
{
	struct tree_node *node = tree->root;
	int ret = 0;

	*found = NULL;
	while (node && path.len) {
		struct slice name = tree_next_name(&path);

		ret = tree_load(tree, node);
		if (ret)
			return ret;
		node = node->dir ? tree_child(node, name) : NULL;
	}
	*found = node;
	return node ? 0 : -ENOENT;
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
		struct slice name = tree_next_name(&path);
		uint32_t hash = tree_hash(node, name);
		struct tree_node *child = tree_dir_find(node, name, hash);

		if (child && !child->dir) {
			*ret = -EEXIST;
			return NULL;
		}
		if (!child)
			child = add_child(tree, node, name, hash, true, times);
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
	uint32_t hash;
	int ret = 0;

	parent = make_directories(tree, slice_of(path.ptr, above), times, &ret);
	if (!parent)
		return ret;
	hash = tree_hash(parent, name);
	node = tree_dir_find(parent, name, hash);
	if (node && node->dir)
		return -EEXIST;
	if (!node)
		node = add_child(tree, parent, name, hash, false, times);
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
		tree_free_node(tree, node);
		if (shows)
			tell(tree, parent, times);
		shows = !(times && times->directories_stand);
		node = parent;
	}
}

size_t tree_documents(const struct tree *tree)
{
	return __atomic_load_n(&tree->documents, __ATOMIC_RELAXED) +
	       __atomic_load_n(&tree->away_documents, __ATOMIC_RELAXED);
}

size_t tree_directories(const struct tree *tree)
{
	return __atomic_load_n(&tree->directories, __ATOMIC_RELAXED);
}
