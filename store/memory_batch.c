/* SPDX-License-Identifier: MIT */
#include "memory_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the snapshot ---- */

static int add_item(struct batch *b, char tag, struct slice name, const struct saved_record *record)
{
	size_t tagged = tag ? 1 : 0;
	char *copy = arena_alloc(&b->arena, name.len + tagged + 1);
	struct saved_record *kept = NULL;

	if (record) {
		kept = arena_copy(&b->arena, record, sizeof(*record));
		if (!kept)
			return -ENOMEM;
	}
	if (!copy)
		return -ENOMEM;
	copy[0] = tag;
	memcpy(copy + tagged, name.ptr, name.len);
	b->items[b->count++] = (struct saved_item){slice_of(copy, name.len + tagged), kept};
	return 0;
}

static int add_pending(struct memory *m, struct batch *b)
{
	struct slice name;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(&m->overlay, &at, &name, &value)) {
		struct pending *p = value;

		ret = add_item(b, 0, name, p->deleted ? NULL : &p->saved);
		if (ret)
			break;
		atomic_fetch_add(&p->references, 1);
		b->pending[b->pending_count++] = p;
	}
	return ret;
}

static int add_dirs(struct memory *m, struct batch *b)
{
	struct slice path;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(&m->dirty_dirs, &at, &path, &value)) {
		struct tree_node *node = tree_find(m->tree, path);
		struct saved_record record = {0};

		if (!node || !node->dir) {
			ret = add_item(b, 'P', path, NULL);
			continue;
		}
		record.version = node->dir->has_mode;
		record.mode = node->dir->mode;
		record.has_mtime = node->dir->has_mtime;
		record.mtime = node->dir->mtime;
		record.ino = node->ino;
		ret = add_item(b, 'P', path, &record);
	}
	return ret;
}

static int add_exiles(struct memory *m, struct batch *b)
{
	static const struct saved_record nothing;
	struct slice ino;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(&m->exiles, &at, &ino, &value)) {
		if (value != m)
			continue;
		ret = add_item(b, 'X', ino, &nothing);
		if (!ret)
			b->exiles[b->exile_count++] =
				slice_of(b->items[b->count - 1].name.ptr + 1, ino.len);
	}
	return ret;
}

static int take_items(struct memory *m, struct batch *b)
{
	size_t most = m->overlay.count + m->dirty_dirs.count + m->exiles.count;
	int ret;

	b->items = arena_alloc(&b->arena, most * sizeof(*b->items));
	b->pending = arena_alloc(&b->arena, m->overlay.count * sizeof(struct pending *));
	b->exiles = arena_alloc(&b->arena, m->exiles.count * sizeof(*b->exiles));
	if (!b->items || !b->pending || !b->exiles)
		return -ENOMEM;
	ret = add_pending(m, b);
	if (!ret)
		ret = add_dirs(m, b);
	if (!ret)
		ret = add_exiles(m, b);
	return ret;
}

/* Under the writer's lock. */
int batch_take(struct memory *m, struct batch *b)
{
	int ret = take_items(m, b);

	if (!ret && m->broken)
		ret = m->broken;
	if (!ret)
		ret = memory_flush_ghosts(m);
	if (!ret && (m->edn_sequence > m->edn_written || m->rewrite_wanted))
		ret = ednfile_rewrite_begin(m->file, &b->snapshot);
	if (ret)
		return ret;
	b->dirs = m->dirty_dirs;
	m->dirty_dirs = (struct table){0};
	b->sequence = m->sequence;
	b->edn_sequence = m->edn_sequence;
	b->next_ino = m->next_ino;
	b->version = m->version;
	if (b->snapshot) {
		m->bases_in_flight = m->bases;
		m->bases = (struct table){0};
		m->changes_in_flight = m->changes;
		m->changes = 0;
	}
	journal_rotate(m->journal);
	return 0;
}

void batch_release(struct batch *b)
{
	for (size_t i = 0; i < b->pending_count; i++)
		memory_drop_pending(b->pending[i]);
	table_release(&b->dirs, NULL);
	arena_release(&b->arena);
}

/* ---- writing ---- */

/* Saved has the documents: readers go there from now on. */
static int finish_documents(struct memory *m, struct batch *b, bool saved)
{
	struct slice path;
	size_t at = 0;
	void *value;
	int ret = 0;

	pthread_rwlock_wrlock(&m->lock);
	for (size_t i = 0; saved && i < b->pending_count; i++) {
		if (table_get(&m->overlay, b->items[i].name) == b->pending[i])
			memory_drop_pending(table_remove(&m->overlay, b->items[i].name));
	}
	for (size_t i = 0; saved && i < b->exile_count; i++)
		table_put(&m->exiles, b->exiles[i], &m->exiles, NULL);
	while (!saved && table_next(&b->dirs, &at, &path, &value))
		memory_note_dir(m, path);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

static int save_documents(struct memory *m, struct batch *b, struct err *err)
{
	struct saved_note notes[] = {
		{"intent", slice_of(&b->sequence, sizeof(b->sequence))},
		{"next_ino", slice_of(&b->next_ino, sizeof(b->next_ino))},
		{"version", slice_of(&b->version, sizeof(b->version))},
	};
	int ret = saved_write(m->saved, b->items, b->count, notes, 3, err);

	finish_documents(m, b, ret == 0);
	return ret;
}

static int save_watermark(struct memory *m, struct batch *b, struct err *err)
{
	struct memory_file_note file;
	struct saved_note notes[] = {
		{"watermark", slice_of(&b->sequence, sizeof(b->sequence))},
		{"first_seen", slice_of(&m->first_seen, sizeof(m->first_seen))},
		{"file", slice_of(&file, sizeof(file))},
	};
	bool ours;

	memory_stat_file(m, &file);
	pthread_rwlock_rdlock(&m->lock);
	ours = !ednfile_changed_outside(m->file);
	pthread_rwlock_unlock(&m->lock);
	return saved_write(m->saved, NULL, 0, notes, ours ? 3 : 1, err);
}

/* What the rewrite did not bring to the file stays pending, judged by its older base. */
static void return_bases(struct memory *m)
{
	struct slice name;
	size_t at = 0;
	void *value;

	while (table_next(&m->bases_in_flight, &at, &name, &value)) {
		void *newer = NULL;

		if (table_put(&m->bases, name, value, &newer))
			newer = value;
		free(newer);
	}
	table_release(&m->bases_in_flight, NULL);
	m->changes += m->changes_in_flight;
	m->changes_in_flight = 0;
}

static int rewrite(struct memory *m, struct batch *b, struct err *err)
{
	int64_t start = memory_now_ms();
	int ret = ednfile_rewrite_write(m->file, b->snapshot, NULL, err);

	pthread_rwlock_wrlock(&m->lock);
	ednfile_rewrite_end(m->file, b->snapshot);
	if (ret) {
		return_bases(m);
	} else {
		table_release(&m->bases_in_flight, free);
		m->changes_in_flight = 0;
		m->edn_written = b->edn_sequence;
		m->rewrite_wanted = false;
	}
	pthread_rwlock_unlock(&m->lock);
	pthread_mutex_lock(&m->work.mutex);
	m->work.last_rewrite_ms = (double)(memory_now_ms() - start);
	m->work.last_rewrite = memory_now();
	m->work.rewrites += !ret;
	pthread_mutex_unlock(&m->work.mutex);
	return ret;
}

int batch_write(struct memory *m, struct batch *b, struct err *err)
{
	struct err edn_err = {0};
	struct err sync_err = {0};
	int ret, edn_ret = 0;

	if (!b->count && !b->snapshot && b->sequence == m->watermark)
		return 0;
	/*
	 * Where the journal can't be synced, memory.edn and saved are still the better place: the
	 * error has been told to those who asked for a sync, and goes away when these two have it all.
	 */
	journal_sync(m->journal, b->sequence, &sync_err);
	ret = save_documents(m, b, err);
	if (b->snapshot)
		edn_ret = rewrite(m, b, &edn_err);
	if (edn_ret) {
		if (err)
			*err = edn_err;
		return edn_ret;
	}
	if (!ret)
		ret = save_watermark(m, b, err);
	if (ret)
		return ret;
	m->watermark = b->sequence;
	return journal_trim(m->journal, b->sequence);
}
