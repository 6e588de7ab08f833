/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_PACE_H
#define OUROFS_PACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/*
 * The pace of a background thread: it makes an attempt a while after the first change that the last
 * one has not included, at once when someone waits for it, later after a failure.
 *
 *	while (pace_begin(pace, &attempt)) {
 *		... the attempt, which sets err
 *		pace_end(pace, &attempt, &err, rest_times);
 *	}
 *
 * An idle thread costs nothing. Everything but pace_begin and pace_end may be called by any thread.
 */
struct pace {
	pthread_t thread;
	bool running;
	unsigned delay_ms;     /* from the first change; set before the start */
	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t wake;
	pthread_cond_t done;
	bool closing;
	bool ended;
	bool dirty;
	bool hurry;                  /* there is so much, or such, that it is not to wait */
	int64_t dirty_ms;            /* monotonic: the first change that no attempt has included */
	int64_t not_before_ms;       /* monotonic: the end of the rest, unless someone waits */
	int64_t hurry_not_before_ms; /* monotonic: the same where it is not to wait */
	int64_t look_ms;             /* monotonic: an attempt is due then in any case; 0: never */
	unsigned backoff_ms;
	uint64_t asked; /* tickets */
	uint64_t answered;
	struct err result; /* of the last attempt */
};

void pace_init(struct pace *pace, unsigned delay_ms);
void pace_release(struct pace *pace);
int pace_start(struct pace *pace, void *(*run)(void *), void *context, struct err *err);
/* One more attempt, whose error is returned, then the thread's end. */
int pace_stop(struct pace *pace, struct err *err);
void pace_signal(struct pace *pace, bool hurry);
/* Waits for an attempt that begins from now on; returns its error. */
int pace_sync(struct pace *pace, struct err *err);

struct attempt {
	uint64_t ticket;
	int64_t start_ms;
	int64_t waited_ms; /* of the attempt, the caller's to say: what was no work of its own */
	bool resting; /* it did not wait for the end of the rest: what can is left for another one, which is due then */
	bool last;
};
/* False: the last attempt is made. */
bool pace_begin(struct pace *pace, struct attempt *attempt);
/*
 * The rest until the next one is rest_times as long as this one worked, or at most as long as that where it is not to wait;
 * look_ms: as in struct pace.
 */
void pace_end(struct pace *pace, const struct attempt *attempt, const struct err *err,
	unsigned rest_times, int64_t look_ms);

#endif
