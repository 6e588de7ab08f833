/* SPDX-License-Identifier: MIT */
#include "store_trees.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* ---- a document as it is shown ---- */

struct shown {
	mode_t mode;
	uint64_t version;
	struct timespec mtime;
	bool has_bytes;
	struct slice bytes; /* as saved */
	struct slice text;  /* else: EDN */
};

static int print(const struct memory *m, const struct shown *shown, struct buf *out)
{
	int ret;

	if (shown->has_bytes) {
		buf_add_slice(out, shown->bytes);
		return buf_error(out);
	}
	ret = memory_value_show(m, shown->text, out, NULL);
	return ret == -EBADMSG ? -EIO : ret;
}

/* st or bytes, or both. */
static int show(const struct memory *m, const struct shown *shown, struct memory_stat *st,
	struct buf *bytes)
{
	struct buf own = BUF_INIT;
	struct buf *to = bytes ? bytes : &own;
	size_t before = to->len;
	int ret = 0;

	if (bytes || !shown->has_bytes)
		ret = print(m, shown, to);
	if (!ret && st)
		*st = (struct memory_stat){.kind = MEMORY_DOCUMENT,
			.mode = shown->mode,
			.version = shown->version,
			.mtime = shown->mtime,
			.size = shown->has_bytes ? shown->bytes.len : to->len - before};
	buf_release(&own);
	return ret;
}

static void show_saved(const struct memory *m, struct shown *shown,
	const struct saved_record *record)
{
	*shown = (struct shown){.mode = record->mode,
		.version = record->version,
		.mtime = record->has_mtime ? record->mtime : m->first_seen,
		.has_bytes = record->has_bytes,
		.bytes = record->bytes,
		.text = record->text};
}

/* ---- in the EAV store ---- */

/* Under memory.lock. */
static int look_at_eav(struct memory *m, struct slice name, struct memory_stat *st,
	struct buf *bytes)
{
	const struct pending *pending = table_get(&m->overlay, name);
	struct eav_reader reader = {0};
	struct eav_record record;
	struct shown shown;
	int ret = 0;

	if (pending) {
		if (pending->saved.deleted || pending->saved.collection)
			return -ENOENT;
		show_saved(m, &shown, &pending->saved);
		ret = show(m, &shown, st, bytes);
		return ret == -EFBIG ? -ENOENT : ret; /* it is not for this store */
	}
	ret = m->eav.store ? eav_read_begin(m->eav.store, &reader) : -ENODEV;
	if (!ret)
		ret = eav_get(&reader, name, &record);
	if (!ret && (record.deleted || record.collection))
		ret = -ENOENT;
	if (!ret) {
		shown = (struct shown){.mode = record.mode,
			.version = record.version,
			.mtime = record.has_mtime ? record.mtime : m->first_seen,
			.has_bytes = true,
			.bytes = record.bytes};
		ret = show(m, &shown, st, bytes);
	}
	eav_read_end(&reader);
	return ret;
}

/* ---- in memory.edn ---- */

static bool same_value(struct slice json, const struct edn *value, int *ret)
{
	struct arena arena = ARENA_INIT;
	struct edn other;
	bool same;

	*ret = json_read(&arena, json, EDN_LOAD_DEPTH, &other, NULL);
	same = !*ret && edn_identical(&other, value);
	if (*ret != -ENOMEM)
		*ret = 0;
	arena_release(&arena);
	return same;
}

/*
 * The bytes that the EAV store has for this very value, while reader lasts; not by what a header says of them. (Whoever
 * reads both has begun with the EAV store, then saved: each may have to let its map grow.)
 */
static int find_in_eav(struct eav_reader *reader, struct slice name, const struct edn *value,
	struct slice printed, struct slice *bytes)
{
	struct eav_record record;
	int ret = eav_get(reader, name, &record);

	if (ret || record.deleted || record.collection)
		return ret == -ENOMEM ? ret : 0;
	if (!slice_equal(record.bytes, printed) && same_value(record.bytes, value, &ret))
		*bytes = record.bytes;
	return ret;
}

/* Of what nothing is saved for this value: text, in the bytes that the EAV store has for it, if it does. */
static int show_text(const struct memory *m, struct eav_reader *reader, struct slice name,
	struct shown *shown, struct memory_stat *st, struct buf *bytes)
{
	struct arena arena = ARENA_INIT;
	struct buf printed = BUF_INIT;
	struct edn value;
	int ret = memory_value_read(m, &arena, shown->text, &value, NULL);

	if (!ret)
		ret = memory_value_print(m, &value, &printed, NULL);
	shown->has_bytes = true;
	shown->bytes = buf_slice(&printed);
	if (!ret)
		ret = find_in_eav(reader, name, &value, buf_slice(&printed), &shown->bytes);
	if (!ret)
		ret = show(m, shown, st, bytes);
	buf_release(&printed);
	arena_release(&arena);
	/* as doc_size has it */
	if (ret == -EFBIG && !bytes) {
		shown->bytes = shown->text;
		return show(m, shown, st, NULL);
	}
	return ret == -EBADMSG ? -EIO : ret;
}

/* Under memory.lock: what the memory holds for memory.edn. */
static int look_at_document(struct memory *m, struct tree_node *node, struct memory_stat *st,
	struct buf *bytes)
{
	struct doc doc = DOC_INIT;
	struct eav_reader eav;
	struct shown shown;
	int ret = eav_read_begin(m->eav.store, &eav);

	if (!ret)
		ret = doc_id(m, node, &doc);
	if (!ret)
		ret = doc_load_edn(m, &doc);
	if (!ret) {
		show_saved(m, &shown, &doc.record);
		shown.mtime = doc.record.mtime;
		shown.text = doc.item.text;
		ret = shown.has_bytes ? show(m, &shown, st, bytes)
				      : show_text(m, &eav, buf_slice(&doc.name), &shown, st, bytes);
	}
	doc_release(&doc);
	eav_read_end(&eav);
	return ret;
}

/* Under memory.lock: what is saved for this text. */
static int find_saved(struct memory *m, struct slice name, struct slice text,
	struct saved_reader *reader, struct shown *shown)
{
	const struct pending *pending = table_get(&m->overlay, name);
	struct saved_record record;
	int ret = 0;

	if (pending) {
		record = pending->saved;
	} else {
		ret = saved_read_begin(m->saved, reader);
		if (!ret)
			ret = saved_get(reader, name, &record);
	}
	if (ret || record.deleted || record.collection)
		return ret == -ENOENT || ret == -EIO ? 0 : ret;
	shown->mode = record.mode;
	ret = memory_is_of_text(m, &record, text);
	if (ret <= 0)
		return ret;
	shown->has_bytes = record.has_bytes;
	shown->bytes = record.bytes;
	if (record.has_mtime)
		shown->mtime = record.mtime;
	return 0;
}

/* With the trees' mutex and memory.lock: in the file as it stands. */
static int look_at_file(struct memory *m, struct slice name, struct memory_stat *st,
	struct buf *bytes)
{
	const struct ednfile *file = m->trees->file;
	struct shown shown = {.mode = m->default_mode, .version = 1};
	struct saved_reader reader = {0};
	struct eav_reader eav;
	struct ednfile_info info;
	struct entity_id id;
	int ret = entity_id_of_name(name, &id) ? memory_entity_text(file, id, false, &shown.text)
					       : -ENOENT;

	if (ret)
		return ret;
	ednfile_info(file, &info);
	shown.mtime = info.mtime;
	ret = eav_read_begin(m->eav.store, &eav);
	if (!ret)
		ret = find_saved(m, name, shown.text, &reader, &shown);
	if (!ret)
		ret = shown.has_bytes ? show(m, &shown, st, bytes)
				      : show_text(m, &eav, name, &shown, st, bytes);
	saved_read_end(&reader);
	eav_read_end(&eav);
	return ret;
}

/* ---- paths ---- */

/* Under memory.lock. It is the memory's directory at that path, where there is one. */
static void stat_directory(struct memory *m, struct slice path, struct memory_stat *st)
{
	struct tree_node *node;

	*st = (struct memory_stat){.kind = MEMORY_DIRECTORY,
		.mode = m->default_mode | (m->default_mode & 0444) >> 2,
		.mtime = m->first_seen};
	if (tree_find(m->tree, path, &node) || !node->dir)
		return;
	st->mode = memory_directory_mode(m, node);
	if (node->dir->has_mtime)
		st->mtime = node->dir->mtime;
}

/* Under memory.lock. st and bytes may be NULL. */
static int look_at_node(struct memory *m, enum memory_store store, bool live, struct slice path,
	struct tree_node *node, struct memory_stat *st, struct buf *bytes)
{
	if (node->dir) {
		if (st)
			stat_directory(m, path, st);
		return bytes ? -EISDIR : 0;
	}
	if (live)
		return look_at_document(m, node, st, bytes);
	return store == MEMORY_STORE_EAV ? look_at_eav(m, tree_id(node), st, bytes)
					 : look_at_file(m, tree_id(node), st, bytes);
}

/*
 * Calls fn with the store's tree, under memory.lock and, where the tree is not the memory's own (live), the trees'
 * mutex.
 */
typedef int in_tree_fn(struct memory *m, const struct tree *tree, bool live, void *context);

static int in_tree(struct memory *m, enum memory_store store, in_tree_fn *fn, void *context)
{
	struct tree *tree;
	bool live;
	int ret = 0;

	pthread_rwlock_rdlock(&m->lock);
	live = store == MEMORY_STORE_EDN && m->edn_active;
	if (live)
		ret = fn(m, m->tree, true, context);
	pthread_rwlock_unlock(&m->lock);
	if (live)
		return ret;
	pthread_mutex_lock(&m->trees->mutex);
	ret = store == MEMORY_STORE_EAV ? store_trees_eav(m, &tree) : store_trees_edn(m, &tree);
	if (!ret) {
		pthread_rwlock_rdlock(&m->lock);
		ret = fn(m, tree, false, context);
		pthread_rwlock_unlock(&m->lock);
	}
	pthread_mutex_unlock(&m->trees->mutex);
	return ret;
}

struct look {
	enum memory_store store;
	struct slice path;
	struct memory_stat *st;
	struct buf *bytes;
};

static int look(struct memory *m, const struct tree *tree, bool live, void *context)
{
	const struct look *l = context;

	struct tree_node *node;
	int ret = tree_find(tree, l->path, &node);

	return ret ? ret : look_at_node(m, l->store, live, l->path, node, l->st, l->bytes);
}

int memory_store_stat(struct memory *m, enum memory_store store, struct slice path,
	struct memory_stat *st)
{
	struct look l = {store, path, st, NULL};

	return in_tree(m, store, look, &l);
}

int memory_store_read(struct memory *m, enum memory_store store, struct slice path,
	struct buf *bytes)
{
	struct look l = {store, path, NULL, bytes};

	return in_tree(m, store, look, &l);
}

/* ---- listing ---- */

struct listed {
	struct slice directory;
	struct buf rows; /* a byte of kind, a length, a name */
};

static int list(struct memory *m, const struct tree *tree, bool live, void *context)
{
	struct listed *listed = context;
	struct tree_node **nodes;
	struct tree_node *dir;
	size_t count;
	int ret = tree_find(tree, listed->directory, &dir);

	(void)m;
	(void)live;
	if (ret || !dir->dir)
		return ret ? ret : -ENOTDIR;
	nodes = tree_sorted(tree, dir, &count);
	if (!nodes)
		return count ? -ENOMEM : 0;
	for (size_t i = 0; i < count; i++) {
		buf_add_char(&listed->rows, nodes[i]->dir ? 'd' : 'f');
		buf_add(&listed->rows, &nodes[i]->name_len, sizeof(nodes[i]->name_len));
		buf_add_slice(&listed->rows, tree_name(nodes[i]));
	}
	free(nodes);
	return buf_error(&listed->rows);
}

int memory_store_list(struct memory *m, enum memory_store store, struct slice directory,
	memory_list_fn *fn, void *context)
{
	struct listed listed = {.directory = directory};
	size_t at = 0;
	int ret = in_tree(m, store, list, &listed);

	while (!ret && at < listed.rows.len) {
		bool is_directory = listed.rows.ptr[at++] == 'd';
		uint16_t len;

		memcpy(&len, listed.rows.ptr + at, sizeof(len));
		at += sizeof(len);
		ret = fn(context, slice_of(listed.rows.ptr + at, len),
			is_directory ? MEMORY_DIRECTORY : MEMORY_DOCUMENT, 0);
		at += len;
	}
	buf_release(&listed.rows);
	return ret < 0 ? ret : 0;
}
