/* SPDX-License-Identifier: MIT */
#include "pace.h"

#include <errno.h>
#include <string.h>

#include "lock_order.h"
#include "monotonic.h"

enum { BACKOFF_FIRST_MS = 1000, BACKOFF_LAST_MS = 30000 };

void pace_init(struct pace *pace, unsigned delay_ms)
{
	*pace = (struct pace){.delay_ms = delay_ms};
	mutex_init(&pace->mutex, LOCK_PACE);
	monotonic_cond_init(&pace->wake);
	monotonic_cond_init(&pace->done);
}

void pace_release(struct pace *pace)
{
	pthread_cond_destroy(&pace->done);
	pthread_cond_destroy(&pace->wake);
	pthread_mutex_destroy(&pace->mutex);
}

int pace_start(struct pace *pace, void *(*run)(void *), void *context, struct err *err)
{
	int ret = pthread_create(&pace->thread, NULL, run, context);

	if (ret)
		return err_set(err, -ret, "cannot start a thread: %s", strerror(ret));
	pace->running = true;
	return 0;
}

int pace_stop(struct pace *pace, struct err *err)
{
	if (!pace->running)
		return 0;
	pthread_mutex_lock(&pace->mutex);
	pace->closing = true;
	pthread_cond_signal(&pace->wake);
	pthread_mutex_unlock(&pace->mutex);
	pthread_join(pace->thread, NULL);
	pace->running = false;
	if (pace->result.code && err)
		*err = pace->result;
	return pace->result.code;
}

void pace_signal(struct pace *pace, bool hurry)
{
	pthread_mutex_lock(&pace->mutex);
	if (!pace->dirty || (hurry && !pace->hurry)) {
		if (!pace->dirty)
			pace->dirty_ms = monotonic_ms();
		pace->dirty = true;
		pace->hurry |= hurry;
		pthread_cond_signal(&pace->wake);
	}
	pthread_mutex_unlock(&pace->mutex);
}

int pace_sync(struct pace *pace, struct err *err)
{
	uint64_t ticket;
	int ret;

	if (!pace->running)
		return 0;
	pthread_mutex_lock(&pace->mutex);
	ticket = ++pace->asked;
	pthread_cond_signal(&pace->wake);
	while (pace->answered < ticket && !pace->ended)
		pthread_cond_wait(&pace->done, &pace->mutex);
	ret = pace->result.code;
	if (ret && err)
		*err = pace->result;
	pthread_mutex_unlock(&pace->mutex);
	return ret;
}

/* ---- the thread ---- */

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool is_waited_for(const struct pace *pace)
{
	return pace->closing || pace->asked > pace->answered;
}

/* When the next attempt is due: monotonic, INT64_MAX for not at all. */
static int64_t due_ms(const struct pace *pace)
{
	int64_t due = INT64_MAX;

	if (is_waited_for(pace))
		return 0;
	if (pace->dirty)
		due = later(pace->dirty_ms + pace->delay_ms, pace->not_before_ms);
	if (pace->hurry && pace->hurry_not_before_ms < due)
		due = pace->hurry_not_before_ms;
	return pace->look_ms && pace->look_ms < due ? pace->look_ms : due;
}

bool pace_begin(struct pace *pace, struct attempt *attempt)
{
	int64_t due;

	pthread_mutex_lock(&pace->mutex);
	while ((due = due_ms(pace)) > monotonic_ms() && !pace->ended) {
		if (due == INT64_MAX)
			pthread_cond_wait(&pace->wake, &pace->mutex);
		else
			monotonic_cond_wait(&pace->wake, &pace->mutex, due * 1000000);
	}
	*attempt = (struct attempt){
		.ticket = pace->asked, .start_ms = monotonic_ms(), .last = pace->closing};
	attempt->resting = !is_waited_for(pace) && attempt->start_ms < pace->not_before_ms;
	if (pace->ended) {
		pthread_mutex_unlock(&pace->mutex);
		return false;
	}
	pace->hurry = false;
	pace->dirty &= attempt->resting;
	pthread_mutex_unlock(&pace->mutex);
	return true;
}

/* How long after a failure nothing is tried. */
static int64_t back_off(struct pace *pace, int64_t now)
{
	pace->backoff_ms = pace->backoff_ms ? pace->backoff_ms * 2 : BACKOFF_FIRST_MS;
	if (pace->backoff_ms > BACKOFF_LAST_MS)
		pace->backoff_ms = BACKOFF_LAST_MS;
	if (!pace->dirty)
		pace->dirty_ms = now;
	pace->dirty = true;
	return pace->backoff_ms;
}

void pace_end(struct pace *pace, const struct attempt *attempt, const struct err *err,
	unsigned rest_times, int64_t look_ms)
{
	int64_t now = monotonic_ms();
	int64_t worked = now - attempt->start_ms - attempt->waited_ms;
	int64_t backoff = 0;

	pthread_mutex_lock(&pace->mutex);
	/* what failed before was not tried again */
	if (err->code || !attempt->resting)
		pace->result = *err;
	pace->look_ms = look_ms;
	if (err->code)
		backoff = back_off(pace, now);
	else if (!attempt->resting)
		pace->backoff_ms = 0;
	if (!attempt->resting)
		pace->not_before_ms = now + worked * rest_times;
	pace->not_before_ms = later(pace->not_before_ms, now + backoff);
	/* what failed may be what a resting attempt leaves out */
	pace->hurry_not_before_ms =
		now + later(rest_times ? worked : 0, attempt->resting ? backoff : 0);
	pace->answered = attempt->ticket;
	pace->ended = attempt->last;
	pthread_cond_broadcast(&pace->done);
	pthread_mutex_unlock(&pace->mutex);
}
