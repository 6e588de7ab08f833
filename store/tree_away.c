/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "tree_private.h"

void tree_hold(const struct tree *tree)
{
	pthread_mutex_lock((pthread_mutex_t *)&tree->loading);
}

void tree_let_go(const struct tree *tree)
{
	pthread_mutex_unlock((pthread_mutex_t *)&tree->loading);
}

/* ---- how many ---- */

/* Those of a directory are away from now on, or (more false) here. */
static void count_away(struct tree *tree, const struct tree_dir *dir, bool more)
{
	size_t one = more ? 1 : (size_t)-1;

	__atomic_fetch_add(&tree->away, one, __ATOMIC_RELEASE);
	if (dir->counted)
		__atomic_fetch_add(&tree->away_documents, one * dir->away_count, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&tree->uncounted, one, __ATOMIC_RELAXED);
}

bool tree_has_away(const struct tree *tree)
{
	return __atomic_load_n(&tree->away, __ATOMIC_ACQUIRE);
}

bool tree_has_uncounted(const struct tree *tree)
{
	return __atomic_load_n(&tree->uncounted, __ATOMIC_RELAXED);
}

void tree_set_count(const struct tree *tree, struct tree_node *node, uint32_t count)
{
	struct tree *t = (struct tree *)tree;

	count_away(t, node->dir, false);
	node->dir->away_count = count;
	node->dir->counted = true;
	count_away(t, node->dir, true);
}

/* ---- back ---- */

static int load(struct tree *tree, struct tree_node *node)
{
	struct tree_dir *dir = node->dir;
	int ret = 0;

	tree_hold(tree);
	if (dir->away) {
		ret = tree->calls.load(tree->calls.context, node);
		if (!ret) {
			tree_dir_fit(dir);
			count_away(tree, dir, false);
			__atomic_store_n(&dir->away, false, __ATOMIC_RELEASE);
		}
	}
	tree_let_go(tree);
	return ret;
}

static int load_if_away(const struct tree *tree, const struct tree_node *node)
{
	if (!node->dir || !__atomic_load_n(&node->dir->away, __ATOMIC_ACQUIRE))
		return 0;
	return load((struct tree *)tree, (struct tree_node *)node);
}

int tree_load(const struct tree *tree, const struct tree_node *node)
{
	struct tree_dir *dir = node->dir;

	if (dir && !__atomic_load_n(&dir->wanted, __ATOMIC_RELAXED))
		__atomic_store_n(&dir->wanted, true, __ATOMIC_RELAXED);
	return load_if_away(tree, node);
}

int tree_load_below(const struct tree *tree, struct tree_node *top)
{
	struct tree_node *node = top;
	int ret = 0;

	while (!ret && node && tree_has_away(tree)) {
		ret = load_if_away(tree, node);
		node = tree_next(top, node);
	}
	return ret;
}

const struct tree_node *tree_away_above(const struct tree *tree, struct slice path)
{
	const struct tree_node *node = tree->root;

	while (node && node->dir) {
		struct slice name = tree_next_name(&path);
		bool away = __atomic_load_n(&node->dir->away, __ATOMIC_ACQUIRE);

		if (away || !path.len)
			return away && !path.len ? node : NULL;
		node = tree_child(node, name);
	}
	return NULL;
}

/* ---- away ---- */

void tree_leave_away(struct tree *tree, struct tree_node *node)
{
	if (!tree->calls.load || node->dir->away)
		return;
	node->dir->away = true;
	count_away(tree, node->dir, true);
}

/* Under a collection's key all documents are its members. */
static bool send_away(struct tree *tree, struct tree_node *node)
{
	struct tree_dir *dir = node->dir;
	struct tree_dir before = *dir;
	uint32_t count = 0;

	if (!tree->calls.load || !dir->keyed || dir->away || tree_dir_keep_directories(dir))
		return false;
	for (uint32_t i = 0; i < before.cap; i++) {
		if (!before.slots[i] || before.slots[i]->dir)
			continue;
		tree_free_node(tree, before.slots[i]);
		count++;
	}
	tree_dir_free_slots(&before);
	__atomic_fetch_sub(&tree->documents, count, __ATOMIC_RELAXED);
	dir->away_count = count;
	dir->counted = true;
	dir->away = true;
	dir->wanted = false;
	count_away(tree, dir, true);
	return true;
}

/* Looks into nothing that is away. */
struct tree_node *tree_send_away(struct tree *tree, struct slice path)
{
	struct tree_node *node = tree->root;

	while (node && node->dir && path.len)
		node = tree_child(node, tree_next_name(&path));
	return node && node->dir && send_away(tree, node) ? node : NULL;
}

void tree_send_unwanted_away(struct tree *tree)
{
	struct tree_node *node = tree->root;

	for (; node; node = tree_next(tree->root, node))
		if (node->dir && !node->dir->wanted)
			send_away(tree, node);
}
