/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The worker: brings saved and memory.edn up to the journal, then trims it.
 *
 *	snapshot (lock) -> journal fdatasync -> saved: documents, intent -> memory.edn: write, rename
 *	-> saved: watermark -> trim
 *
 * A kill anywhere leaves what the next mount's replay completes.
 */
enum { BACKOFF_FIRST_MS = 1000, BACKOFF_LAST_MS = 30000, NOTES = 5 };

/* What one attempt writes. */
struct batch {
	struct arena arena;
	struct saved_item *items;
	size_t count;
	struct pending **pending; /* the documents among items; a reference each */
	size_t pending_count;
	struct table dirs; /* taken from memory.dirty_dirs */
	struct slice *exiles;
	size_t exile_count;
	uint64_t sequence, edn_sequence, next_ino, version;
	struct ednfile_snapshot *snapshot;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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

	b->items = calloc(most + 1, sizeof(*b->items));
	b->pending = calloc(m->overlay.count + 1, sizeof(*b->pending));
	b->exiles = calloc(m->exiles.count + 1, sizeof(*b->exiles));
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
static int take_snapshot(struct memory *m, struct batch *b)
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

static void batch_release(struct batch *b)
{
	for (size_t i = 0; i < b->pending_count; i++)
		memory_drop_pending(b->pending[i]);
	free(b->pending);
	free(b->items);
	free(b->exiles);
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
	int64_t start = now_ms();
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
	m->work.last_rewrite_ms = (double)(now_ms() - start);
	m->work.last_rewrite = memory_now();
	m->work.rewrites += !ret;
	pthread_mutex_unlock(&m->work.mutex);
	return ret;
}

static int write_batch(struct memory *m, struct batch *b, struct err *err)
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

static int attempt(struct memory *m, struct err *err)
{
	struct batch b = {0};
	int ret = 0;

	if (ednfile_changed_outside(m->file))
		ret = memory_merge(m, err);
	if (ret)
		return ret;
	pthread_rwlock_wrlock(&m->lock);
	ret = take_snapshot(m, &b);
	pthread_rwlock_unlock(&m->lock);
	if (!ret)
		ret = write_batch(m, &b, err);
	batch_release(&b);
	if (ret && err && !err->code)
		err_set(err, ret, "%s", strerror(-ret));
	return ret;
}

/* ---- the thread ---- */

static bool is_waited_for(const struct work *w)
{
	return w->closing || w->asked > w->answered;
}

/* Until there is something to do. Called with the mutex held. */
static void wait_for_work(struct memory *m)
{
	struct work *w = &m->work;

	while (!is_waited_for(w)) {
		int64_t due = w->dirty_ms + m->options.edn_delay_ms;
		struct timespec until;

		if (!w->dirty) {
			pthread_cond_wait(&w->wake, &w->mutex);
			continue;
		}
		if (due < w->not_before_ms)
			due = w->not_before_ms;
		if (now_ms() >= due)
			return;
		until = (struct timespec){due / 1000, due % 1000 * 1000000};
		pthread_cond_timedwait(&w->wake, &w->mutex, &until);
	}
}

static void note_result(struct work *w, const struct err *err, int64_t took_ms)
{
	int64_t pause = took_ms * 9;

	w->result = *err;
	if (err->code) {
		w->backoff_ms = w->backoff_ms ? w->backoff_ms * 2 : BACKOFF_FIRST_MS;
		if (w->backoff_ms > BACKOFF_LAST_MS)
			w->backoff_ms = BACKOFF_LAST_MS;
		if (!w->dirty)
			w->dirty_ms = now_ms();
		w->dirty = true;
		pause = pause > w->backoff_ms ? pause : w->backoff_ms;
	} else {
		w->backoff_ms = 0;
	}
	/* rewriting takes at most a tenth of the time */
	w->not_before_ms = now_ms() + pause;
}

static void *work(void *context)
{
	struct memory *m = context;
	struct work *w = &m->work;
	bool closing = false;

	pthread_mutex_lock(&w->mutex);
	while (!closing) {
		struct err err = {0};
		uint64_t ticket;
		int64_t start;

		wait_for_work(m);
		closing = w->closing;
		ticket = w->asked;
		w->dirty = false;
		pthread_mutex_unlock(&w->mutex);
		start = now_ms();
		err.code = attempt(m, &err);
		pthread_mutex_lock(&w->mutex);
		note_result(w, &err, now_ms() - start);
		w->answered = ticket;
		pthread_cond_broadcast(&w->done);
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

int memory_worker_start(struct memory *m, struct err *err)
{
	int ret;

	/* what the replay brought is not in memory.edn yet */
	m->work.dirty = m->sequence > m->edn_written || m->overlay.count > 0;
	m->work.dirty_ms = now_ms();
	ret = pthread_create(&m->work.thread, NULL, work, m);
	if (ret)
		return err_set(err, -ret, "cannot start a thread: %s", strerror(ret));
	m->work.running = true;
	return 0;
}

void memory_worker_stop(struct memory *m, struct err *err)
{
	pthread_mutex_lock(&m->work.mutex);
	m->work.closing = true;
	pthread_cond_signal(&m->work.wake);
	pthread_mutex_unlock(&m->work.mutex);
	pthread_join(m->work.thread, NULL);
	m->work.running = false;
	*err = m->work.result;
}

void memory_signal(struct memory *m)
{
	struct work *w = &m->work;

	pthread_mutex_lock(&w->mutex);
	if (!w->dirty) {
		w->dirty = true;
		w->dirty_ms = now_ms();
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->mutex);
}

int memory_sync(struct memory *m, struct err *err)
{
	struct work *w = &m->work;
	uint64_t ticket;
	int ret;

	if (!w->running)
		return 0;
	pthread_mutex_lock(&w->mutex);
	ticket = ++w->asked;
	pthread_cond_signal(&w->wake);
	while (w->answered < ticket)
		pthread_cond_wait(&w->done, &w->mutex);
	ret = w->result.code;
	if (ret && err)
		*err = w->result;
	pthread_mutex_unlock(&w->mutex);
	return ret;
}
