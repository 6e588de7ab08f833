/* SPDX-License-Identifier: MIT */
#include "memory_agree.h"
#include "memory_event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "background.h"
#include "env_closed.h"
#include "env_look.h"
#include "memory_mend.h"
#include "regular.h"
#include "store_trees.h"
#include "monotonic.h"

/*
 * The flush thread: brings the EAV store and saved up to the journal, then trims it.
 *
 *	snapshot (lock) -> journal fdatasync -> EAV store -> saved -> trim
 *
 * Each store's watermark is in the transaction that brings it there. A kill anywhere leaves what the next
 * mount's replay completes. memory.edn needs no place here: what it lacks can be told from saved. Nor
 * does an EAV store that fails while memory.edn is written: it is compared with that when it is back.
 */
enum { RETRY_MS = 1000, PROBE_BYTES = 65536 };

static int save(struct memory *m, const struct batch *b, struct err *err)
{
	struct saved_note notes[] = {
		{"watermark", slice_of(&b->sequence, sizeof(b->sequence))},
		{"next_ino", slice_of(&b->next_ino, sizeof(b->next_ino))},
		{"version", slice_of(&b->version, sizeof(b->version))},
		{"epoch", slice_of(&b->epoch, sizeof(b->epoch))},
		{"mode", slice_of(&b->mode, sizeof(b->mode))},
	};

	return saved_write(m->saved, b->items, b->count, notes, sizeof(notes) / sizeof(notes[0]),
		err);
}

/* -EIO and the like only where nothing else holds what it lacks. */
static int write_eav(struct memory *m, const struct batch *b, struct err *err)
{
	/* not by edn_active: on the way out of datalevin-only the mode that a kill leaves is still that */
	bool in_edn = mode_row((enum mode)b->mode)->writes_edn;
	struct err reason = {0};
	int state = atomic_load(&m->eav.state);
	int ret;

	/* left alone while the mode is still one that writes it */
	if (state == EAV_CLOSED)
		return mode_row((enum mode)b->mode)->writes_eav ? memory_eav_note(m, false, err)
								: 0;
	if (state == EAV_FAILED)
		return in_edn ? memory_eav_note(m, false, err) : memory_eav_reason(m, err);
	ret = memory_eav_write(m, b, &reason);
	if (!ret)
		return 0;
	memory_eav_fail(m, &reason);
	if (!in_edn) {
		*err = reason;
		return ret;
	}
	return memory_eav_note(m, false, err);
}

/* Its watermark goes along, or the next mount would look for records that were trimmed. */
static bool is_eav_at(struct memory *m, uint64_t sequence)
{
	int state = atomic_load(&m->eav.state);

	return state == EAV_CLOSED || state == EAV_FAILED || m->eav.watermark == sequence;
}

/* What a migration has in hand of these is older now. */
static int note_recent(struct memory *m, const struct batch *b)
{
	if (!atomic_load(&m->flush.notes)) {
		table_release(&m->flush.recent, free);
		return 0;
	}
	for (size_t i = 0; i < b->pending_count; i++) {
		uint64_t *sequence = table_get(&m->flush.recent, b->items[i].name);
		int ret = 0;

		if (!sequence) {
			sequence = malloc(sizeof(*sequence));
			ret = sequence ? table_put(&m->flush.recent, b->items[i].name, sequence,
						 NULL)
				       : -ENOMEM;
		}
		if (ret) {
			free(sequence);
			return ret;
		}
		*sequence = b->sequence;
	}
	return 0;
}

static int write_batch(struct memory *m, struct batch *b, struct err *err)
{
	struct err sync_err = {0};
	int ret;

	if (!b->count && b->sequence == m->flush.watermark && is_eav_at(m, b->sequence))
		return journal_trim(m->journal, b->sequence); /* where it failed before */
	/*
	 * Where the journal can't be synced, the stores are still the better place: the error has been
	 * told to those who asked for a sync, and goes away when these have it all.
	 */
	journal_sync(m->journal, b->sequence, &sync_err);
	ret = note_recent(m, b);
	if (!ret)
		ret = write_eav(m, b, err);
	if (!ret)
		ret = save(m, b, err);
	pthread_rwlock_wrlock(&m->lock);
	batch_finish(m, b, ret == 0);
	pthread_rwlock_unlock(&m->lock);
	if (ret)
		return ret;
	m->flush.watermark = b->sequence;
	return journal_trim(m->journal, b->sequence);
}

static int flush_pending(struct memory *m, struct err *err)
{
	struct batch b = {0};
	int ret;

	pthread_rwlock_wrlock(&m->lock);
	ret = batch_take(m, &b);
	pthread_rwlock_unlock(&m->lock);
	if (!ret)
		ret = write_batch(m, &b, err);
	batch_release(&b);
	if (ret && !err->code)
		err_set(err, ret, "%s", strerror(-ret));
	return ret;
}

/* ---- the EAV store's states ---- */

/*
 * What has failed is examined first, which takes long for a large one: by nobody's lock. Damaged, it makes room for a new
 * one where memory.edn is written, too; but for a switch from the mode that left it alone, as it may be ahead.
 */
static int examine_eav(struct memory *m, struct err *err)
{
	bool failed = atomic_load(&m->eav.state) == EAV_FAILED;
	struct err why = {0};
	int ret = failed || !env_is_closed(m->dir.dir_fd)
			  ? env_examine(m->dir.dir_fd, "data.mdb", &why)
			  : 0;

	if (ret == -EUCLEAN && failed && mode_row((enum mode)atomic_load(&m->mode))->writes_edn)
		return memory_mend_eav(m, &why, err);
	if (!ret || ret == -ENOENT)
		return 0;
	*err = why;
	return ret;
}

static int reopen_eav(struct memory *m, struct err *err)
{
	int ret = examine_eav(m, err);

	if (ret)
		return ret;
	pthread_rwlock_wrlock(&m->lock);
	memory_eav_close(m);
	env_note_closed(m->dir.dir_fd); /* examined as it is */
	ret = memory_eav_open(m, err);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

static void note_differ(struct flush_job *job, const struct agree *agree)
{
	job->differ = agree->differ;
	memcpy(job->first, agree->first, sizeof(job->first));
}

/* job (may be NULL) learns what memory.edn alone holds even then. */
static int bring_up(struct memory *m, bool migrate, struct flush_job *job, struct err *err)
{
	struct agree agree = {.migrate = migrate};
	int behind = EAV_BEHIND;
	int ret = 0;

	if (!m->eav.store || atomic_load(&m->eav.state) == EAV_FAILED)
		ret = reopen_eav(m, err);
	agree.migrate |= m->eav.remade;
	if (!ret)
		ret = memory_agree(m, &agree, err);
	if (job)
		note_differ(job, &agree);
	/* what was saved meanwhile, then nothing is missing */
	if (!ret)
		ret = flush_pending(m, err);
	if (!ret && atomic_load(&m->eav.state) == EAV_BEHIND)
		ret = memory_eav_mark(m, err);
	/* it may have failed on the way, where memory.edn has what it did not take */
	if (!ret && !atomic_compare_exchange_strong(&m->eav.state, &behind, EAV_READY) &&
		behind != EAV_READY)
		return memory_eav_reason(m, err);
	if (!ret)
		memory_fails_no_more(m, FAILING_EAV);
	if (ret && ret != -ECANCELED)
		memory_eav_fail(m, err);
	return ret;
}

static int check(struct memory *m, struct flush_job *job)
{
	struct agree agree = {.check = true};

	if (atomic_load(&m->eav.state) != EAV_READY)
		return job->ret = memory_eav_reason(m, &job->err);
	job->ret = memory_agree(m, &agree, &job->err);
	note_differ(job, &agree);
	return job->ret;
}

static int close_eav(struct memory *m, struct err *err)
{
	pthread_rwlock_wrlock(&m->lock);
	memory_eav_close(m);
	pthread_rwlock_unlock(&m->lock);
	memory_failing_forget(m, FAILING_EAV);
	return memory_eav_note(m, false, err);
}

/* It is the waiting thread's own: answered in this attempt, also where that failed, or never touched. */
static void run_job(struct memory *m, const struct err *err)
{
	struct flush_job *job;

	pthread_mutex_lock(&m->flush.pace.mutex);
	job = m->flush.job;
	m->flush.job = NULL;
	pthread_mutex_unlock(&m->flush.pace.mutex);
	if (!job)
		return;
	if (err->code) {
		job->ret = err->code;
		job->err = *err;
		return;
	}
	switch (job->kind) {
	case JOB_BRING_UP:
		job->ret = bring_up(m, job->migrate, job, &job->err);
		break;
	case JOB_CHECK:
		job->ret = check(m, job);
		break;
	case JOB_CLOSE:
		job->ret = close_eav(m, &job->err);
		break;
	}
}

/* ---- the journal ---- */

static int write_probe(int dir_fd)
{
	static const char zeros[PROBE_BYTES];
	int fd = regular_open(dir_fd, "probe", O_WRONLY | O_CREAT | O_TRUNC);
	ssize_t written;
	int ret = 0;

	if (fd < 0)
		return fd;
	written = write(fd, zeros, sizeof(zeros));
	if (written != (ssize_t)sizeof(zeros))
		ret = written < 0 ? -errno : -ENOSPC;
	else if (fdatasync(fd))
		ret = -errno;
	close(fd);
	unlinkat(dir_fd, "probe", 0);
	return ret;
}

/* Nobody may want to save for a while: health is to know when it could be done again. */
static void probe_journal(struct memory *m)
{
	if (memory_is_failing(m, FAILING_JOURNAL) && write_probe(m->dir.dir_fd) == 0)
		memory_fails_no_more(m, FAILING_JOURNAL);
}

static bool is_to_retry(struct memory *m)
{
	return atomic_load(&m->eav.state) == EAV_FAILED || memory_is_failing(m, FAILING_JOURNAL);
}

/* ---- the thread ---- */

/* An EAV store that fails has said so itself. */
static void tell_failure(struct memory *m, const struct err *err)
{
	if (err->code && atomic_load(&m->eav.state) == EAV_FAILED)
		return;
	memory_fails(m, FAILING_SAVED, err);
}

/* When to look again without being told; 0: never. */
static int64_t next_look_ms(struct memory *m)
{
	int64_t tidy = store_trees_tidy(m);
	int64_t retry = is_to_retry(m) ? monotonic_ms() + RETRY_MS : 0;

	return retry && (!tidy || retry < tidy) ? retry : tidy;
}

static void *flush(void *context)
{
	struct memory *m = context;
	struct attempt attempt;
	int64_t retry_ms = 0;

	background_thread(0);
	while (pace_begin(&m->flush.pace, &attempt)) {
		struct err err = {0};
		struct err eav_err = {0};

		pthread_mutex_lock(&m->flush.turn);
		if (atomic_load(&m->eav.state) == EAV_FAILED && attempt.start_ms >= retry_ms) {
			bring_up(m, false, NULL, &eav_err);
			retry_ms = monotonic_ms() + RETRY_MS;
		}
		err.code = flush_pending(m, &err);
		run_job(m, &err);
		pthread_mutex_unlock(&m->flush.turn);
		tell_failure(m, &err);
		probe_journal(m);
		pace_end(&m->flush.pace, &attempt, &err, 0, next_look_ms(m));
	}
	return NULL;
}

int memory_flush_start(struct memory *m, struct err *err)
{
	/* what the replay brought is not in the stores yet */
	pace_signal(&m->flush.pace, false);
	return pace_start(&m->flush.pace, flush, m, err);
}
