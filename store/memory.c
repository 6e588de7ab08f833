/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int init(struct memory *m, const struct memory_options *options)
{
	pthread_rwlockattr_t attributes;
	pthread_condattr_t clock;

	m->dir = STORE_DIR_NONE;
	m->options = *options;
	pthread_rwlockattr_init(&attributes);
	/* readers never nest, and a stream of them must not keep a save waiting */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&m->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&m->work.mutex, NULL);
	pthread_mutex_init(&m->adoption_lock, NULL);
	pthread_cond_init(&m->work.wake, &clock);
	pthread_cond_init(&m->work.done, &clock);
	pthread_condattr_destroy(&clock);
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
	table_release(&m->bases, free);
	table_release(&m->bases_in_flight, free);
	table_release(&m->ghosts, NULL);
	table_release(&m->dirty_dirs, NULL);
	table_release(&m->exiles, NULL);
	table_release(&m->held, NULL);
	table_release(&m->replayed, NULL);
	/* last: until here the store is ours */
	store_dir_close(&m->dir);
	free(m->edn_path);
	free(m->store_path);
	pthread_cond_destroy(&m->work.done);
	pthread_cond_destroy(&m->work.wake);
	pthread_mutex_destroy(&m->work.mutex);
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
	return ret ? err_set(err, ret, "out of memory") : memory_load_tree(m, err);
}

/* What must not change from mount to mount is durable before anyone can see it. */
static int save_first_seen(struct memory *m, struct err *err)
{
	struct memory_file_note file;
	struct saved_note notes[] = {
		{"first_seen", slice_of(&m->first_seen, sizeof(m->first_seen))},
		{"file", slice_of(&file, sizeof(file))}};
	struct memory_file_note then = {0};
	struct saved_reader reader;
	int ret;

	memory_stat_file(m, &file);
	ret = saved_read_begin(m->saved, &reader);
	if (!ret)
		ret = saved_note_get(&reader, "file", &then, sizeof(then));
	saved_read_end(&reader);
	if (!ret && memcmp(&file, &then, sizeof(file)) == 0)
		return 0;
	return saved_write(m->saved, NULL, 0, notes, 2, err);
}

static int open_stores(struct memory *m, struct err *err)
{
	bool read_only = m->options.read_only;
	uint64_t watermark;
	int ret;

	ret = store_dir_open(&m->dir, m->store_path, read_only, err);
	if (!ret && m->dir.dir_fd >= 0)
		ret = saved_open(&m->saved, m->dir.dir_fd, m->store_path, read_only, err);
	if (!ret)
		ret = open_file(m, err);
	if (!ret)
		ret = memory_load_saved(m, &watermark, err);
	if (!ret && !read_only)
		ret = save_first_seen(m, err);
	if (ret)
		return ret;
	if (!read_only) {
		ret = journal_open(&m->journal, m->dir.dir_fd, watermark, memory_replay, m, err);
		return ret ? ret : memory_keep_replaced(m, err);
	}
	return m->dir.dir_fd < 0
		       ? 0
		       : journal_replay_only(m->dir.dir_fd, watermark, memory_replay, m, err);
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
		ret = memory_worker_start(m, err);
	if (ret) {
		release(m);
		return ret;
	}
	*memory = m;
	return 0;
}

int memory_close(struct memory *m, struct err *err)
{
	struct err result = {0};

	if (!m)
		return 0;
	if (m->work.running)
		memory_worker_stop(m, &result);
	release(m);
	if (err)
		*err = result;
	return result.code;
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
	pthread_mutex_lock(&m->work.mutex);
	h->rewrites = m->work.rewrites;
	h->last_rewrite = m->work.last_rewrite;
	h->last_rewrite_ms = m->work.last_rewrite_ms;
	h->outside_changes = m->work.outside_changes;
	h->edn_error = m->work.result.code;
	memcpy(h->edn_reason, m->work.result.text, sizeof(h->edn_reason));
	pthread_mutex_unlock(&m->work.mutex);
}
