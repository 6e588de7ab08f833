/* SPDX-License-Identifier: MIT */
#include "memory_batch.h"

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
enum { BACKOFF_FIRST_MS = 1000, BACKOFF_LAST_MS = 30000 };

int64_t memory_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void memory_on_adoption(struct memory *m, memory_adoption_fn *fn, void *context)
{
	pthread_mutex_lock(&m->adoption_lock);
	m->adoption = fn;
	m->adoption_context = context;
	pthread_mutex_unlock(&m->adoption_lock);
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
	ret = batch_take(m, &b);
	pthread_rwlock_unlock(&m->lock);
	if (!ret)
		ret = batch_write(m, &b, err);
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
		if (memory_now_ms() >= due)
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
			w->dirty_ms = memory_now_ms();
		w->dirty = true;
		pause = pause > w->backoff_ms ? pause : w->backoff_ms;
	} else {
		w->backoff_ms = 0;
	}
	/* rewriting takes at most a tenth of the time */
	w->not_before_ms = memory_now_ms() + pause;
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
		start = memory_now_ms();
		err.code = attempt(m, &err);
		pthread_mutex_lock(&w->mutex);
		note_result(w, &err, memory_now_ms() - start);
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
	m->work.dirty_ms = memory_now_ms();
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
		w->dirty_ms = memory_now_ms();
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
