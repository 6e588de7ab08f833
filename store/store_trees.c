/* SPDX-License-Identifier: MIT */
#include "store_trees.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lock_order.h"
#include "memory_names.h"
#include "monotonic.h"

enum {
	IDLE_MS = 60000,
	SLICE_NAMES = 4096,  /* of one reader of the EAV store */
	TOUCHED_MAX = 50000, /* names: a tree that lags behind so far is made anew */
};

/* Nobody is told of what changes here, and all is loaded. */
static const struct tree_calls NO_CALLS;

/* ---- one name ---- */

/* Where an entity stands, as a document or as a collection. -EINVAL: nowhere. */
static int path_of(const struct memory *m, struct slice name, bool collection, struct entity_id *id,
	struct buf *path)
{
	buf_reset(path);
	if (!entity_id_of_name(name, id) || (collection && id->member.ptr))
		return -EINVAL;
	return memory_id_path(m, *id, collection, path);
}

static int add(const struct memory *m, struct tree *tree, struct slice name, bool collection)
{
	struct buf path = BUF_INIT;
	struct entity_id id;
	int ret = path_of(m, name, collection, &id, &path);

	if (!ret && collection)
		ret = tree_add_collection(tree, buf_slice(&path), id.key, NULL);
	else if (!ret)
		ret = tree_add_document(tree, buf_slice(&path), name, NULL);
	buf_release(&path);
	/* a name that another program wrote there, and that no path leads to */
	return ret == -EINVAL || ret == -EEXIST || ret == -EBADMSG ? 0 : ret;
}

static int drop(const struct memory *m, struct tree *tree, struct slice name, bool collection)
{
	struct buf path = BUF_INIT;
	struct tree_node *node = NULL;
	struct entity_id id;
	int ret = path_of(m, name, collection, &id, &path);

	if (!ret)
		ret = tree_find(tree, buf_slice(&path), &node);
	if (node && collection && node->dir && node->dir->keyed &&
		slice_equal(tree_id(node), id.key))
		tree_remove(tree, node, NULL);
	else if (node && !collection && !node->dir && slice_equal(tree_id(node), name))
		tree_remove(tree, node, NULL);
	buf_release(&path);
	return ret == -ENOMEM ? ret : 0;
}

/* ---- the EAV store's ---- */

enum kind { GONE, DOCUMENT, COLLECTION };

static enum kind kind_of(bool deleted, bool collection)
{
	return deleted ? GONE : collection ? COLLECTION : DOCUMENT;
}

/* A damaged document is one: whoever reads it learns more. */
static int find_kind(const struct memory *m, struct eav_reader *reader, struct slice name,
	enum kind *kind)
{
	const struct pending *pending = table_get(&m->overlay, name);
	struct eav_record record;
	int ret;

	if (pending) {
		*kind = kind_of(pending->saved.deleted, pending->saved.collection);
		return 0;
	}
	ret = eav_get(reader, name, &record);
	*kind = ret == -ENOENT ? GONE : ret ? DOCUMENT : kind_of(record.deleted, record.collection);
	return ret == -ENOENT || ret == -EIO ? 0 : ret;
}

static int apply(const struct memory *m, struct tree *tree, struct eav_reader *reader,
	struct slice name)
{
	enum kind kind;
	int ret = find_kind(m, reader, name, &kind);

	if (!ret && kind != DOCUMENT)
		ret = drop(m, tree, name, false);
	if (!ret && kind != COLLECTION)
		ret = drop(m, tree, name, true);
	if (!ret && kind != GONE)
		ret = add(m, tree, name, kind == COLLECTION);
	return ret;
}

static int apply_all(struct memory *m, struct tree *tree, const struct table *names)
{
	struct eav_reader reader;
	struct slice name;
	size_t at = 0;
	void *value;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = m->eav.store ? eav_read_begin(m->eav.store, &reader) : -ENODEV;
	if (!ret) {
		while (!ret && table_next(names, &at, &name, &value))
			ret = apply(m, tree, &reader, name);
		eav_read_end(&reader);
	}
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

struct walk {
	struct memory *m;
	struct tree *tree;
	struct buf last; /* where the slice before ended */
	size_t left;
};

static int walk_one(void *context, struct slice name, const struct eav_record *record)
{
	struct walk *walk = context;
	int ret = 0;

	if (walk->last.len && slice_equal(name, buf_slice(&walk->last)))
		return 0;
	if (!record || !record->deleted)
		ret = add(walk->m, walk->tree, name, record && record->collection);
	if (ret || --walk->left)
		return ret;
	buf_reset(&walk->last);
	buf_add_slice(&walk->last, name);
	return buf_error(&walk->last) ? -ENOMEM : 1;
}

/* 1: there is more. */
static int walk_slice(struct walk *walk)
{
	struct memory *m = walk->m;
	struct buf from = BUF_INIT;
	struct eav_reader reader;
	int ret;

	buf_add_slice(&from, buf_slice(&walk->last));
	walk->left = SLICE_NAMES;
	pthread_rwlock_rdlock(&m->lock);
	ret = buf_error(&from);
	if (!ret)
		ret = m->eav.store ? eav_read_begin(m->eav.store, &reader) : -ENODEV;
	if (!ret) {
		ret = eav_each(&reader, buf_slice(&from), walk_one, walk);
		eav_read_end(&reader);
	}
	pthread_rwlock_unlock(&m->lock);
	buf_release(&from);
	return ret;
}

/* What is pending when it is made, and what is touched from now on, comes behind what is in the store. */
static int make_eav(struct memory *m, struct tree **tree)
{
	struct walk walk = {.m = m};
	int ret = tree_new(tree, &NO_CALLS);

	if (ret)
		return ret;
	walk.tree = *tree;
	do
		ret = walk_slice(&walk);
	while (ret == 1);
	buf_release(&walk.last);
	if (ret) {
		tree_free(*tree);
		*tree = NULL;
	}
	return ret;
}

static int note_pending(struct memory *m)
{
	struct store_trees *trees = m->trees;
	struct slice name;
	size_t at = 0;
	void *value;
	int ret = 0;

	pthread_rwlock_rdlock(&m->lock);
	pthread_mutex_lock(&trees->touched_mutex);
	table_release(&trees->touched, NULL);
	trees->watching = true;
	trees->lost = false;
	while (!ret && table_next(&m->overlay, &at, &name, &value))
		ret = table_put(&trees->touched, name, m, NULL);
	pthread_mutex_unlock(&trees->touched_mutex);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

static void unwatch(struct store_trees *trees)
{
	pthread_mutex_lock(&trees->touched_mutex);
	trees->watching = false;
	table_release(&trees->touched, NULL);
	pthread_mutex_unlock(&trees->touched_mutex);
	tree_free(trees->eav);
	trees->eav = NULL;
}

void store_trees_touch(void *memory, struct slice name)
{
	struct memory *m = memory;
	struct store_trees *trees = m->trees;

	pthread_mutex_lock(&trees->touched_mutex);
	if (trees->watching && !trees->lost)
		trees->lost = trees->touched.count >= TOUCHED_MAX ||
			      table_put(&trees->touched, name, m, NULL);
	pthread_mutex_unlock(&trees->touched_mutex);
}

static int refresh_eav(struct memory *m)
{
	struct store_trees *trees = m->trees;
	struct table touched;
	int ret = 0;

	if (!trees->eav) {
		ret = note_pending(m);
		if (!ret)
			ret = make_eav(m, &trees->eav);
	}
	pthread_mutex_lock(&trees->touched_mutex);
	touched = trees->touched;
	trees->touched = (struct table){0};
	pthread_mutex_unlock(&trees->touched_mutex);
	if (!ret && touched.count)
		ret = apply_all(m, trees->eav, &touched);
	table_release(&touched, NULL);
	if (ret)
		unwatch(trees);
	return ret;
}

/* The flush thread comes to free it. */
static void note_use(struct memory *m)
{
	m->trees->used_ms = monotonic_ms();
	if (!m->trees->eav && !m->trees->edn)
		pace_signal(&m->flush.pace, false);
}

int store_trees_eav(struct memory *m, struct tree **tree)
{
	struct store_trees *trees = m->trees;
	uint64_t opened;
	bool lost;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	opened = m->eav.store ? m->eav.opened : 0;
	pthread_rwlock_unlock(&m->lock);
	pthread_mutex_lock(&trees->touched_mutex);
	lost = trees->lost;
	pthread_mutex_unlock(&trees->touched_mutex);
	if (trees->eav && (lost || trees->eav_opened != opened))
		unwatch(trees);
	if (!opened)
		return -ENODEV;
	note_use(m);
	trees->eav_opened = opened;
	ret = refresh_eav(m);
	*tree = trees->eav;
	return ret;
}

/* ---- memory.edn's ---- */

static void forget_edn(struct store_trees *trees)
{
	tree_free(trees->edn);
	ednfile_free(trees->file);
	trees->edn = NULL;
	trees->file = NULL;
}

static int add_names(const struct memory *m, struct store_trees *trees, const struct names *names)
{
	int ret = 0;

	for (size_t i = 0; i < names->count && !ret; i++) {
		struct slice name = names_at(names, i);
		struct entity_id id;
		bool collection = entity_id_of_name(name, &id) && !id.member.ptr &&
				  ednfile_is_collection(trees->file, id.key);

		ret = add(m, trees->edn, name, collection);
	}
	return ret;
}

static int load_edn(struct memory *m)
{
	struct ednfile_options options = {.max_depth = EDN_LOAD_DEPTH,
		.schema = m->options.schema,
		.settle_ms = 1,
		.resolved = true,
		.exactly = true};
	struct store_trees *trees = m->trees;
	struct names names = {0};
	int ret = ednfile_open(&trees->file, m->edn_path, &options, NULL);

	if (ret)
		return ret == -ENOMEM ? ret : -EIO;
	ret = tree_new(&trees->edn, &NO_CALLS);
	if (!ret)
		ret = names_gather_edn(&names, m, trees->file);
	if (!ret)
		ret = add_names(m, trees, &names);
	names_release(&names);
	return ret;
}

int store_trees_edn(struct memory *m, struct tree **tree)
{
	struct store_trees *trees = m->trees;
	int ret = 0;

	if (trees->file && ednfile_changed_outside(trees->file))
		forget_edn(trees);
	note_use(m);
	if (!trees->edn)
		ret = load_edn(m);
	if (ret)
		forget_edn(trees);
	*tree = trees->edn;
	return ret;
}

/* ---- all of them ---- */

int64_t store_trees_tidy(struct memory *m)
{
	struct store_trees *trees = m->trees;
	int64_t due = 0;

	/* who has it, uses it */
	if (pthread_mutex_trylock(&trees->mutex))
		return monotonic_ms() + IDLE_MS;
	if (trees->eav || trees->edn)
		due = trees->used_ms + IDLE_MS;
	if (due && due <= monotonic_ms()) {
		unwatch(trees);
		forget_edn(trees);
		due = 0;
	}
	pthread_mutex_unlock(&trees->mutex);
	return due;
}

struct store_trees *store_trees_new(void)
{
	struct store_trees *trees = calloc(1, sizeof(*trees));

	if (trees) {
		mutex_init(&trees->mutex, LOCK_TREES);
		mutex_init(&trees->touched_mutex, LOCK_TOUCHED);
	}
	return trees;
}

void store_trees_free(struct store_trees *trees)
{
	if (!trees)
		return;
	unwatch(trees);
	forget_edn(trees);
	pthread_mutex_destroy(&trees->mutex);
	pthread_mutex_destroy(&trees->touched_mutex);
	free(trees);
}
