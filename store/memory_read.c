/* SPDX-License-Identifier: MIT */
#include "memory_event.h"

#include <errno.h>
#include <stdlib.h>

static void stat_directory(struct memory *m, const struct tree_node *node, struct memory_stat *st)
{
	*st = (struct memory_stat){.kind = MEMORY_DIRECTORY,
		.mode = memory_directory_mode(m, node),
		.ino = memory_directory_ino(m, node),
		.mtime = node->dir->has_mtime ? node->dir->mtime : m->first_seen};
}

/* within may be NULL. */
static int stat_node(struct memory *m, struct reading *within, struct tree_node *node,
	struct memory_stat *st)
{
	struct doc doc = {.within = within};
	int ret;

	if (node->dir) {
		stat_directory(m, node, st);
		return 0;
	}
	ret = doc_id(m, node, &doc);
	if (!ret)
		ret = doc_load_shown(m, &doc);
	if (!ret) {
		doc_stat(&doc, st);
		ret = doc_size(m, &doc, st);
	}
	doc_release(&doc);
	return ret;
}

static int stat_here(struct memory *m, struct slice path, struct memory_stat *st)
{
	struct tree_node *node;
	int ret = tree_find(m->tree, path, &node);

	return ret ? ret : stat_node(m, NULL, node, st);
}

static int stat_away(struct memory *m, struct slice path, struct memory_stat *st)
{
	struct doc doc = DOC_INIT;
	int ret = doc_load_away(m, path, &doc);

	if (!ret) {
		doc_stat(&doc, st);
		ret = doc_size(m, &doc, st);
	}
	doc_release(&doc);
	return ret;
}

int memory_stat(struct memory *m, struct slice path, struct memory_stat *st)
{
	struct memory_stat found;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = stat_away(m, path, &found);
	if (ret == -ENOENT)
		ret = stat_here(m, path, &found);
	pthread_rwlock_unlock(&m->lock);
	memory_resident_tick(m);
	if (!ret)
		*st = found;
	return ret;
}

/* Not for long: what is replaced meanwhile is kept in the files. */
enum { READING_MAX = 256 };

/* NULL: it can't be begun, which each document then finds out by itself. */
static struct reading *begin_reading(struct memory *m, struct reading *reading)
{
	*reading = (struct reading){.serves = doc_eav_serves(m)};
	/* the EAV store also where it does not serve */
	return reading_begin(m, reading, atomic_load(&m->eav.state) != EAV_FAILED) ? NULL : reading;
}

static void stat_names(struct memory *m, const struct tree_node *dir, struct memory_named *named,
	size_t count)
{
	struct reading reading;
	struct reading *within = begin_reading(m, &reading);

	for (size_t i = 0; i < count; i++) {
		struct tree_node *node = tree_child(dir, named[i].name);

		named[i].ret = node ? stat_node(m, within, node, &named[i].st) : -ENOENT;
		memory_resident_tick_held(m);
	}
	reading_end(&reading);
}

void memory_stat_names(struct memory *m, struct slice directory, struct memory_named *named,
	size_t count)
{
	struct tree_node *dir;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = tree_find(m->tree, directory, &dir);
	if (!ret)
		ret = dir->dir ? tree_load(m->tree, dir) : -ENOTDIR;
	for (size_t i = 0; i < count; i++)
		named[i].ret = ret;
	for (size_t i = 0; i < count && !ret; i += READING_MAX)
		stat_names(m, dir, named + i, count - i < READING_MAX ? count - i : READING_MAX);
	pthread_rwlock_unlock(&m->lock);
}

/* Was it looked for in the EAV store, and not found there? */
static bool count_read(struct memory *m, struct doc *doc)
{
	bool pending = table_get(&m->overlay, buf_slice(&doc->name));

	atomic_fetch_add_explicit(pending         ? &m->read.overlay
				  : doc->from_eav ? &m->read.eav
						  : &m->read.edn,
		1, memory_order_relaxed);
	if (pending || doc->from_eav || !mode_row((enum mode)atomic_load(&m->mode))->reads_eav)
		return false;
	atomic_fetch_add_explicit(&m->read.fallbacks, 1, memory_order_relaxed);
	return true;
}

static int find_shown(struct memory *m, struct slice path, struct doc *doc)
{
	int ret = doc_load_away(m, path, doc);

	if (ret != -ENOENT)
		return ret;
	doc_release(doc);
	ret = doc_find(m, path, doc);
	return ret ? ret : doc_load_shown(m, doc);
}

int memory_read(struct memory *m, struct slice path, struct memory_stat *st, struct buf *bytes,
	struct err *err)
{
	struct memory_done done = {.name = "memory/get", .path = path, .store = "edn"};
	struct err reason = {0};
	struct doc doc = DOC_INIT;
	size_t before = bytes->len;
	bool fell_back = false, is_news = false;
	int ret;

	if (memory_is_heard(m))
		done.start_ms = memory_clock_ms();

	pthread_rwlock_rdlock(&m->lock);
	ret = find_shown(m, path, &doc);
	if (!ret)
		ret = doc_bytes(m, &doc, bytes, &reason);
	if (ret == -EFBIG)
		is_news = doc_is_told_first(&doc);
	if (!ret && st) {
		doc_stat(&doc, st);
		st->size = bytes->len - before;
	}
	if (!ret)
		fell_back = count_read(m, &doc);
	doc_release(&doc);
	pthread_rwlock_unlock(&m->lock);
	memory_resident_tick(m);
	if (fell_back)
		memory_tell_done(m, &done);
	if (is_news)
		memory_tell_hidden(m, path, &reason);
	if (ret == -EFBIG)
		return err_set(err, ret, "%s", reason.text);
	return ret ? err_set(err, ret, "%s", strerror(-ret)) : 0;
}

/* ---- listing ---- */

static int ino_of(struct memory *m, struct reading *within, struct tree_node *node, uint64_t *ino)
{
	struct doc doc = {.within = within};
	int ret;

	*ino = node->dir ? memory_directory_ino(m, node)
			 : __atomic_load_n(&node->ino, __ATOMIC_RELAXED);
	if (*ino)
		return 0;
	ret = doc_id(m, node, &doc);
	if (!ret)
		ret = doc_load_shown(m, &doc);
	*ino = doc.record.ino;
	doc_release(&doc);
	return ret;
}

static int list_locked(struct memory *m, struct slice directory, memory_list_fn *fn, void *context)
{
	struct reading reading = {0};
	struct reading *within = NULL;
	struct tree_node *dir;
	struct tree_node **nodes;
	size_t count;
	int ret = tree_find(m->tree, directory, &dir);

	if (ret)
		return ret;
	if (!dir->dir)
		return -ENOTDIR;
	nodes = tree_sorted(m->tree, dir, &count);
	if (!nodes)
		return -ENOMEM;
	for (size_t i = 0; i < count && !ret; i++) {
		uint64_t ino;

		if (i % READING_MAX == 0) {
			reading_end(&reading);
			within = begin_reading(m, &reading);
		}
		ret = ino_of(m, within, nodes[i], &ino);
		if (!ret)
			ret = fn(context, tree_name(nodes[i]),
				nodes[i]->dir ? MEMORY_DIRECTORY : MEMORY_DOCUMENT, ino);
		ret = ret < 0 ? ret : 0;
		memory_resident_tick_held(m);
	}
	reading_end(&reading);
	free(nodes);
	return ret;
}

int memory_list(struct memory *m, struct slice directory, memory_list_fn *fn, void *context)
{
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = list_locked(m, directory, fn, context);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

int memory_holds_only(struct memory *m, struct slice directory, struct slice name)
{
	struct tree_node *node;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = tree_find(m->tree, directory, &node);
	if (!ret)
		ret = tree_load(m->tree, node);
	if (!ret && !node->dir)
		ret = -ENOTDIR;
	if (!ret && node->dir->child_count > (tree_child(node, name) ? 1 : 0))
		ret = -ENOTEMPTY;
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

/* ---- describing ---- */

static int describe_directory(struct memory *m, const struct tree_node *node, struct buf *key,
	const char **type)
{
	const struct schema_row *row;

	if (!node->dir->keyed)
		return -ENOENT;
	row = schema_collection(m->options.schema, memory_keyword(tree_id(node)));
	buf_add_slice(key, tree_id(node));
	*type = row ? row->type : "cache";
	return buf_error(key);
}

static int source_of(struct memory *m, struct doc *doc, const char **source)
{
	struct pending *pending = table_get(&m->overlay, buf_slice(&doc->name));
	int ret = doc_load(m, doc);

	*source = pending ? "overlay" : doc->from_eav ? "eav" : "edn";
	return ret;
}

static int describe(struct memory *m, struct slice path, struct buf *key, const char **type,
	const char **source)
{
	struct doc doc = DOC_INIT;
	struct tree_node *node;
	int ret = tree_find(m->tree, path, &node);

	if (ret)
		return ret;
	if (node->dir)
		return *source = "edn", describe_directory(m, node, key, type);
	ret = doc_id(m, node, &doc);
	if (!ret)
		ret = source_of(m, &doc, source);
	if (!ret) {
		entity_id_text(key, doc.id);
		*type = memory_type_of(m, &doc);
	}
	doc_release(&doc);
	return ret ? ret : buf_error(key);
}

int memory_describe(struct memory *m, struct slice path, struct buf *key, const char **type,
	const char **source)
{
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = describe(m, path, key, type, source);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}
