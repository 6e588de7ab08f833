/* SPDX-License-Identifier: MIT */
#include "lock_order.h"
#include "tree_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tree {
	struct tree_node *root;
	size_t documents, directories, away; /* atomics: readers load */
	struct tree_calls calls;
	pthread_mutex_t loading; /* held while a collection is loaded; guards what is away */
};

/* ---- nodes ---- */

static void free_node(struct tree_node *node)
{
	if (node->dir)
		free(node->dir->slots);
	free(node->dir);
	free(node->id);
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

	if (id.len > UINT32_MAX)
		return -ENOMEM;
	if (!id.ptr || (node->id && slice_equal(tree_id(node), id)))
		return 0;
	copy = malloc(id.len ? id.len : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, id.ptr, id.len);
	free(node->id);
	node->id = copy;
	node->id_len = (uint32_t)id.len;
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
	struct tree_node *node = new_node(name, directory);

	if (!node)
		return NULL;
	if (tree_dir_reserve(parent->dir)) {
		free_node(node);
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

/* ---- what is away ---- */

void tree_leave_away(struct tree *tree, struct tree_node *dir)
{
	if (!tree->calls.load || dir->dir->away)
		return;
	dir->dir->away = true;
	tree->away++;
}

int tree_load(const struct tree *tree, const struct tree_node *node)
{
	pthread_mutex_t *loading = (pthread_mutex_t *)&tree->loading;
	struct tree_dir *dir = node->dir;
	int ret = 0;

	if (!dir || !__atomic_load_n(&dir->away, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(loading);
	if (dir->away) {
		ret = tree->calls.load(tree->calls.context, (struct tree_node *)node);
		if (!ret) {
			__atomic_store_n(&dir->away, false, __ATOMIC_RELEASE);
			__atomic_fetch_sub((size_t *)&tree->away, 1, __ATOMIC_RELEASE);
		}
	}
	pthread_mutex_unlock(loading);
	return ret;
}

int tree_load_below(const struct tree *tree, struct tree_node *top)
{
	struct tree_node *node = top;
	int ret = 0;

	while (!ret && node && tree_has_away(tree)) {
		ret = tree_load(tree, node);
		node = tree_next(top, node);
	}
	return ret;
}

bool tree_has_away(const struct tree *tree)
{
	return __atomic_load_n(&tree->away, __ATOMIC_ACQUIRE);
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
	t->root = new_node(slice_of("", 0), true);
	if (!t->root) {
		tree_free(t);
		return -ENOMEM;
	}
	*tree = t;
	return 0;
}

/* From the leaves up; what is below has no way back to it. */
static void free_below(struct tree_node *top)
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
		free_node(node);
		node = parent;
	}
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	free_below(tree->root);
	pthread_mutex_destroy(&tree->loading);
	free(tree);
}

struct tree_node *tree_root(const struct tree *tree)
{
	return tree->root;
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

int tree_find(const struct tree *tree, struct slice path, struct tree_node **found)
{
	struct tree_node *node = tree->root;
	int ret = 0;

	*found = NULL;
	while (node && path.len) {
		struct slice name = next_name(&path);

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
		struct slice name = next_name(&path);
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
		free_node(node);
		if (shows)
			tell(tree, parent, times);
		shows = !(times && times->directories_stand);
		node = parent;
	}
}

size_t tree_documents(const struct tree *tree)
{
	return __atomic_load_n(&tree->documents, __ATOMIC_RELAXED);
}

size_t tree_directories(const struct tree *tree)
{
	return __atomic_load_n(&tree->directories, __ATOMIC_RELAXED);
}
