/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LINGER_H
#define OUROFS_LINGER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether a thread that serves requests waits for the next one awake.
 *
 * Who calls waits for the answer, and the thread for him: one of both sleeps at any time. On one processor they take
 * turns within some microseconds. On two each of them has to wake a processor that sleeps, for each request and for
 * each answer, which takes longer than most requests, in a virtual machine several times as long; and once the scheduler
 * has parted them it leaves it at that. So a thread that sleeps again and again, though requests come one after the
 * other, stays awake for some tens of microseconds after each, and the caller alone has to be woken.
 *
 * It does so no more when requests come late, when others want its processor, or when several threads serve. Without
 * requests it sleeps.
 *
 *	struct linger linger = {0};
 *	for (;;) {
 *		linger_for(&linger, fd);	// then read(fd), which may well block
 *		... serve ...
 *		linger_count(&linger, alone);
 *	}
 *
 * The thread's own.
 */

/* What the thread had done and met by a time. */
struct linger_use {
	int64_t at_ns;
	int64_t running_ns;
	long slept; /* so often, as below */
	long preempted;
};

struct linger {
	bool awake;
	unsigned requests;     /* since the last look, as below */
	unsigned late;         /* which it did not see come */
	int64_t asleep_ns;     /* since when, awake in vain; 0 */
	struct linger_use use; /* at that look */
	unsigned found;        /* looks on end: asleep, that they are parted; awake, crowded */
	int64_t not_before_ns; /* awake again */
};

/* A request was served; alone: by the only thread that does now, on a machine with another processor. */
void linger_count(struct linger *linger, bool alone);
/* Until there is something to read, or it has been long enough. */
void linger_for(struct linger *linger, int fd);

#endif
