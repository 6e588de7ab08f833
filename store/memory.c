/* SPDX-License-Identifier: MIT */
#include "memory_open.h"

#include "memory_eav.h"
#include "memory_event.h"
#include "memory_mend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"
#include "lock_order.h"
#include "store_trees.h"
#include "validator.h"

static int set_paths(struct memory *m, const struct memory_options *options, struct err *err)
{
	char *absolute = NULL;
	int ret = ednfile_resolve(options->edn_path, &absolute, &m->edn_path, err);

	free(absolute);
	m->store_path = ret ? NULL : strdup(options->store_dir);
	return ret || m->store_path ? ret : err_set(err, -ENOMEM, "out of memory");
}

static int init(struct memory *m, const struct memory_options *options, struct err *err)
{
	int ret;

	m->dir = STORE_DIR_NONE;
	m->options = *options;
	/* readers never nest, and a stream of them must not keep a save waiting */
	rwlock_init_for_writers(&m->lock, LOCK_MEMORY);
	mutex_init(&m->adoption_lock, LOCK_ADOPTION);
	mutex_init(&m->switching, LOCK_SWITCHING);
	mutex_init(&m->flush.turn, LOCK_TURN);
	mutex_init(&m->eav.mutex, LOCK_EAV_REASON);
	mutex_init(&m->failing, LOCK_FAILING);
	mutex_init(&m->types.mutex, LOCK_TYPES);
	memory_telling_init(&m->telling);
	memory_resident_init(&m->resident, options->statm_fd);
	pace_init(&m->flush.pace, FLUSH_DELAY_MS);
	pace_init(&m->work.pace, options->edn_delay_ms);
	m->validator = validator_new(m);
	m->trees = store_trees_new();
	ret = m->validator && m->trees ? memory_migration_new(m) : -ENOMEM;
	return ret ? err_set(err, ret, "out of memory") : set_paths(m, options, err);
}

static void release(struct memory *m)
{
	validator_free(m->validator);
	store_trees_free(m->trees);
	journal_close(m->journal);
	memory_eav_close(m);
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
	memory_migration_free(m);
	table_release(&m->flush.recent, free);
	free(m->edn_path);
	free(m->store_path);
	memory_resident_release(&m->resident);
	pace_release(&m->work.pace);
	pace_release(&m->flush.pace);
	pthread_mutex_destroy(&m->adoption_lock);
	pthread_mutex_destroy(&m->switching);
	pthread_mutex_destroy(&m->flush.turn);
	pthread_mutex_destroy(&m->eav.mutex);
	pthread_mutex_destroy(&m->failing);
	pthread_mutex_destroy(&m->types.mutex);
	free(m->types.rows);
	memory_telling_release(&m->telling);
	pthread_rwlock_destroy(&m->lock);
	free(m);
}

static int start(struct memory *m, struct err *err)
{
	bool read_only = m->options.read_only;
	int ret = read_only ? 0 : memory_flush_start(m, err);

	if (read_only && m->options.still)
		return 0;
	return ret ? ret : memory_worker_start(m, err);
}

static int stop(struct memory *m, struct err *err)
{
	int flushed;
	int ret;

	memory_migration_stop(m);
	validator_stop(m->validator);
	ret = memory_worker_stop(m, err);
	flushed = pace_stop(&m->flush.pace, ret ? NULL : err);
	return ret ? ret : flushed;
}

/* mended: what was done so that it can be opened. *mend: there is something to do. */
static int open_once(struct memory **memory, const struct memory_options *options,
	const struct remade *mended, bool *mend, struct err *err)
{
	struct memory *m = calloc(1, sizeof(*m));
	int ret;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->remade[FAILING_SAVED] = *mended;
	ret = init(m, options, err);
	if (!ret)
		ret = memory_open_stores(m, err);
	if (!ret)
		ret = start(m, err);
	if (!ret)
		ret = memory_open_mode(m, err);
	if (!ret && !options->read_only)
		ret = memory_migration_start(m, err);
	*mend = ret && m->saved_damaged && !options->read_only;
	if (ret) {
		stop(m, NULL);
		release(m);
		return ret;
	}
	memory_resident_trim(m);
	*memory = m;
	return 0;
}

int memory_open(struct memory **memory, const struct memory_options *options, struct err *err)
{
	struct remade mended = {0};
	struct err reason = {0};
	bool mend = false;
	int ret = open_once(memory, options, &mended, &mend, &reason);

	if (ret && mend) {
		reason = (struct err){0};
		ret = memory_mend_saved(options->store_dir, &mended, &reason);
		if (!ret)
			ret = open_once(memory, options, &mended, &mend, &reason);
	}
	if (ret && err)
		*err = reason;
	return ret;
}

void memory_serves(struct memory *m)
{
	background_served(&m->attention);
}

void memory_ends(struct memory *m)
{
	store_dir_ends(&m->dir);
}

static void compact(struct memory *m)
{
	if (m->options.read_only || m->broken)
		return;
	/* one that has failed is examined before anything is made of it */
	if (atomic_load(&m->eav.state) == EAV_READY)
		eav_compact(m->eav.store);
	saved_compact(m->saved);
}

int memory_close(struct memory *m, struct err *err)
{
	int ret;

	if (!m)
		return 0;
	ret = stop(m, err);
	if (!m->options.read_only && m->edn_active && !m->broken &&
		m->edn_written == m->edn_sequence)
		ednfile_keep_index(m->file);
	compact(m);
	release(m);
	return ret;
}

int memory_sync(struct memory *m, struct err *err)
{
	int ret = pace_sync(&m->work.pace, err);
	int flushed = pace_sync(&m->flush.pace, ret ? NULL : err);

	return ret ? ret : flushed;
}

int memory_make_durable(struct memory *m, uint64_t sequence, struct err *err)
{
	struct err reason = {0};
	int ret = journal_sync(m->journal, sequence, &reason);

	memory_fails(m, FAILING_JOURNAL, &reason);
	if (!ret)
		return 0;
	/* what the journal may have lost the stores can take still: they are synced by themselves */
	ret = pace_sync(&m->flush.pace, &reason);
	if (!ret)
		memory_fails_no_more(m, FAILING_JOURNAL);
	else if (err)
		*err = reason;
	return ret;
}

int memory_fsync(struct memory *m, struct err *err)
{
	uint64_t sequence;

	if (!m->journal)
		return 0;
	pthread_rwlock_rdlock(&m->lock);
	sequence = m->sequence;
	pthread_rwlock_unlock(&m->lock);
	return memory_make_durable(m, sequence, err);
}

void memory_barrier(struct memory *m)
{
	if (m->journal)
		journal_barrier(m->journal);
}

static void read_eav_health(struct memory *m, struct memory_health *h)
{
	static const char *const STATES[] = {[EAV_CLOSED] = "closed",
		[EAV_BEHIND] = "being brought up",
		[EAV_READY] = "ready",
		[EAV_FAILED] = "failed"};
	struct eav_stat stat;

	h->eav_reads = atomic_load(&m->eav.reads);
	h->eav_fallbacks = atomic_load(&m->eav.fallbacks);
	/* first, so that it is never more than those it is a part of */
	h->read_fallbacks = atomic_load(&m->read.fallbacks);
	h->reads_overlay = atomic_load(&m->read.overlay);
	h->reads_eav = atomic_load(&m->read.eav);
	h->reads_edn = atomic_load(&m->read.edn);
	pthread_rwlock_rdlock(&m->lock);
	h->eav_state = STATES[atomic_load(&m->eav.state)];
	if (m->eav.store && eav_stat(m->eav.store, &stat) == 0) {
		h->eav_entities = stat.entities;
		h->eav_datoms = stat.datoms;
		h->eav_bytes = stat.file_bytes;
		h->eav_commits = stat.commits;
	}
	pthread_rwlock_unlock(&m->lock);
	pthread_mutex_lock(&m->eav.mutex);
	if (atomic_load(&m->eav.state) == EAV_FAILED)
		memcpy(h->eav_reason, m->eav.reason.text, sizeof(h->eav_reason));
	pthread_mutex_unlock(&m->eav.mutex);
	pthread_mutex_lock(&m->flush.pace.mutex);
	h->flush_error = m->flush.pace.result.code;
	memcpy(h->flush_reason, m->flush.pace.result.text, sizeof(h->flush_reason));
	pthread_mutex_unlock(&m->flush.pace.mutex);
}

void memory_health(struct memory *m, struct memory_health *h)
{
	struct ednfile_info info;
	struct slice name;
	size_t at = 0;
	char kept[SET_ASIDE_NAME];
	void *value;

	*h = (struct memory_health){.mode = memory_mode_name(m)};
	read_eav_health(m, h);
	pthread_rwlock_rdlock(&m->lock);
	ednfile_info(m->file, &info);
	h->keys = ednfile_count(m->file);
	h->directories = tree_directories(m->tree);
	h->pending = m->edn_active ? m->changes + m->changes_in_flight : 0;
	h->overlay = m->overlay.count;
	h->commits = m->commits;
	/* ghosts of the top level are in the file, not in the memory */
	while (table_next(&m->ghosts, &at, &name, &value))
		h->keys -= name.ptr[0] == 'D';
	pthread_rwlock_unlock(&m->lock);
	pthread_mutex_lock(&m->failing);
	h->saved_damaged = saved_is_damaged(m->saved);
	h->saved_doubtful = m->remade[FAILING_SAVED].doubtful;
	h->saved_remade_s = m->remade[FAILING_SAVED].since_s;
	memcpy(h->saved_remade, m->remade[FAILING_SAVED].text, sizeof(h->saved_remade));
	pthread_mutex_unlock(&m->failing);
	h->edn_bytes = info.size_bytes;
	h->unreadable_keys = info.unreadable_keys;
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
	memcpy(kept, m->work.kept, sizeof(kept));
	memcpy(h->set_aside, m->work.set_aside, sizeof(h->set_aside));
	h->set_aside_since = m->work.set_aside_since;
	h->edn_error = m->work.pace.result.code;
	memcpy(h->edn_reason, m->work.pace.result.text, sizeof(h->edn_reason));
	pthread_mutex_unlock(&m->work.pace.mutex);
	if (!memory_is_beside(m, kept))
		h->set_aside[0] = '\0';
}
