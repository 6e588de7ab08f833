/* SPDX-License-Identifier: MIT */
#include "memory_batch.h"

#include <errno.h>
#include <string.h>

/*
 * The flush thread: brings saved and the EAV store up to the journal, then trims it.
 *
 *	snapshot (lock) -> journal fdatasync -> EAV store -> saved -> trim
 *
 * Each store's watermark is in the transaction that brings it there. A kill anywhere leaves what the next
 * mount's replay completes. memory.edn needs no place here: what it lacks can be told from saved.
 */
static int save(struct memory *m, const struct batch *b, struct err *err)
{
	struct saved_note notes[] = {
		{"watermark", slice_of(&b->sequence, sizeof(b->sequence))},
		{"next_ino", slice_of(&b->next_ino, sizeof(b->next_ino))},
		{"version", slice_of(&b->version, sizeof(b->version))},
		{"epoch", slice_of(&b->epoch, sizeof(b->epoch))},
	};

	return saved_write(m->saved, b->items, b->count, notes, sizeof(notes) / sizeof(notes[0]),
		err);
}

static int write_batch(struct memory *m, struct batch *b, struct err *err)
{
	struct err sync_err = {0};
	int ret;

	if (!b->count && b->sequence == m->flush.watermark)
		return 0;
	/*
	 * Where the journal can't be synced, the stores are still the better place: the error has been
	 * told to those who asked for a sync, and goes away when these have it all.
	 */
	journal_sync(m->journal, b->sequence, &sync_err);
	ret = save(m, b, err);
	pthread_rwlock_wrlock(&m->lock);
	batch_finish(m, b, ret == 0);
	pthread_rwlock_unlock(&m->lock);
	if (ret)
		return ret;
	m->flush.watermark = b->sequence;
	return journal_trim(m->journal, b->sequence);
}

static int attempt_flush(struct memory *m, struct err *err)
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

static void *flush(void *context)
{
	struct memory *m = context;
	struct attempt attempt;

	while (pace_begin(&m->flush.pace, &attempt)) {
		struct err err = {0};

		err.code = attempt_flush(m, &err);
		pace_end(&m->flush.pace, &attempt, &err, 0, 0);
	}
	return NULL;
}

int memory_flush_start(struct memory *m, struct err *err)
{
	/* what the replay brought is not in the stores yet */
	if (m->sequence > m->flush.watermark || m->overlay.count || m->dirty_dirs.count)
		pace_signal(&m->flush.pace, false);
	return pace_start(&m->flush.pace, flush, m, err);
}
