/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int init(struct memory *m, const struct memory_options *options)
{
	pthread_rwlockattr_t attributes;

	m->dir = STORE_DIR_NONE;
	m->options = *options;
	pthread_rwlockattr_init(&attributes);
	/* readers never nest, and a stream of them must not keep a save waiting */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&m->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	pthread_mutex_init(&m->adoption_lock, NULL);
	pace_init(&m->flush.pace, FLUSH_DELAY_MS);
	pace_init(&m->work.pace, options->edn_delay_ms);
	m->edn_path = strdup(options->edn_path);
	m->store_path = strdup(options->store_dir);
	return m->edn_path && m->store_path ? 0 : -ENOMEM;
}

static void release(struct memory *m)
{
	journal_close(m->journal);
	saved_close(m->saved);
	ednfile_free(m->file);
	tree_free(m->tree);
	table_release(&m->overlay, memory_drop_pending);
	table_release(&m->ghosts, NULL);
	table_release(&m->dirty_dirs, NULL);
	table_release(&m->exiles, NULL);
	table_release(&m->held, NULL);
	/* last: until here the store is ours */
	store_dir_close(&m->dir);
	free(m->edn_path);
	free(m->store_path);
	pace_release(&m->work.pace);
	pace_release(&m->flush.pace);
	pthread_mutex_destroy(&m->adoption_lock);
	pthread_rwlock_destroy(&m->lock);
	free(m);
}

static int open_file(struct memory *m, struct err *err)
{
	struct ednfile_options options = {.max_depth = EDN_LOAD_DEPTH, .schema = m->options.schema};
	struct ednfile_info info;
	int ret = ednfile_open(&m->file, m->edn_path, &options, err);

	if (ret)
		return ret;
	ednfile_info(m->file, &info);
	m->default_mode = info.mode & 0666;
	ret = tree_new(&m->tree, memory_note_dir, m);
	return ret ? err_set(err, ret, "out of memory") : 0;
}

/* What must not change from mount to mount is durable before anyone can see it. */
static int keep_first_seen(struct memory *m, struct err *err)
{
	return m->foreign || m->file_noted
		       ? 0
		       : memory_note_file(m, "file", m->work.file.hash, m->work.file.sequence, err);
}

static int replay(struct memory *m, struct err *err)
{
	uint64_t watermark = m->flush.watermark;

	if (m->dir.dir_fd < 0)
		return 0;
	if (m->options.read_only)
		return journal_replay_only(m->dir.dir_fd, watermark, memory_replay, m, err);
	return journal_open(&m->journal, m->dir.dir_fd, watermark, memory_replay, m, err);
}

static int open_stores(struct memory *m, struct err *err)
{
	bool read_only = m->options.read_only;
	int ret;

	ret = store_dir_open(&m->dir, m->store_path, read_only, err);
	if (!ret && m->dir.dir_fd >= 0)
		ret = saved_open(&m->saved, m->dir.dir_fd, m->store_path, read_only, err);
	if (!ret)
		ret = open_file(m, err);
	if (!ret)
		ret = memory_load_notes(m, err);
	if (!ret && !read_only)
		ret = keep_first_seen(m, err);
	if (!ret)
		ret = memory_restore(m, err);
	if (!ret)
		ret = memory_load_tree(m, err);
	if (!ret)
		ret = replay(m, err);
	if (!ret && m->foreign && !read_only)
		ret = memory_merge(m, NULL, err);
	return ret;
}

static int start(struct memory *m, struct err *err)
{
	int ret = memory_flush_start(m, err);

	return ret ? ret : memory_worker_start(m, err);
}

static int stop(struct memory *m, struct err *err)
{
	int ret = memory_worker_stop(m, err);
	int flushed = pace_stop(&m->flush.pace, ret ? NULL : err);

	return ret ? ret : flushed;
}

int memory_open(struct memory **memory, const struct memory_options *options, struct err *err)
{
	struct memory *m = calloc(1, sizeof(*m));
	int ret;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	ret = init(m, options);
	if (ret)
		err_set(err, ret, "out of memory");
	else
		ret = open_stores(m, err);
	if (!ret && !options->read_only)
		ret = start(m, err);
	if (ret) {
		stop(m, NULL);
		release(m);
		return ret;
	}
	*memory = m;
	return 0;
}

int memory_close(struct memory *m, struct err *err)
{
	int ret;

	if (!m)
		return 0;
	ret = stop(m, err);
	release(m);
	return ret;
}

int memory_sync(struct memory *m, struct err *err)
{
	int ret = pace_sync(&m->work.pace, err);
	int flushed = pace_sync(&m->flush.pace, ret ? NULL : err);

	return ret ? ret : flushed;
}

int memory_fsync(struct memory *m, struct err *err)
{
	uint64_t sequence;

	if (!m->journal)
		return 0;
	pthread_rwlock_rdlock(&m->lock);
	sequence = m->sequence;
	pthread_rwlock_unlock(&m->lock);
	return journal_sync(m->journal, sequence, err);
}

void memory_health(struct memory *m, struct memory_health *h)
{
	struct ednfile_info info;
	struct slice name;
	size_t at = 0;
	void *value;

	*h = (struct memory_health){.mode = "edn-only"};
	pthread_rwlock_rdlock(&m->lock);
	ednfile_info(m->file, &info);
	h->keys = ednfile_count(m->file);
	h->entities = tree_documents(m->tree);
	h->directories = tree_directories(m->tree);
	h->pending = m->changes + m->changes_in_flight;
	/* ghosts of the top level are in the file, not in the memory */
	while (table_next(&m->ghosts, &at, &name, &value))
		h->keys -= name.ptr[0] == 'D';
	pthread_rwlock_unlock(&m->lock);
	h->edn_bytes = info.size_bytes;
	h->lenient_keys = info.lenient_keys;
	h->trailing_bytes = info.trailing_bytes;
	if (m->journal)
		h->journal_bytes = journal_bytes(m->journal);
	pthread_mutex_lock(&m->work.pace.mutex);
	h->rewrites = m->work.rewrites;
	h->last_rewrite = m->work.last_rewrite;
	h->last_rewrite_ms = m->work.last_rewrite_ms;
	h->outside_changes = m->work.outside_changes;
	h->stale_put_back = m->work.stale_put_back;
	h->conflicts = m->work.conflicts;
	h->set_aside = m->work.set_aside;
	h->edn_error = m->work.pace.result.code;
	memcpy(h->edn_reason, m->work.pace.result.text, sizeof(h->edn_reason));
	pthread_mutex_unlock(&m->work.pace.mutex);
}
