/* SPDX-License-Identifier: MIT */
#include "linger.h"

#include <poll.h>
#include <sys/resource.h>
#include <time.h>

#include "monotonic.h"

enum {
	WINDOW = 32,                 /* requests from one look to the next */
	OFTEN = WINDOW / 4,          /* half as often as who opens and closes has to wait */
	PARTED = 4,                  /* looks on end: who begins may come together yet */
	CROWDED = 4,                 /* looks on end: less may be a thread of our own */
	AWAKE_NS = 50 * 1000,        /* a caller that does nothing else asks again by then */
	SOON_NS = 200 * 1000,        /* from one request to the next */
	LONG_NS = 5 * 1000 * 1000,   /* asleep: who asks then begins */
	REST_NS = 100 * 1000 * 1000, /* after it was crowded */
};

static struct linger_use use_now(void)
{
	struct timespec running;
	struct rusage used;

	getrusage(RUSAGE_THREAD, &used);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &running); /* getrusage's is of the last switch */
	return (struct linger_use){.at_ns = monotonic_ns(),
		.running_ns = running.tv_sec * 1000000000LL + running.tv_nsec,
		.slept = used.ru_nvcsw,
		.preempted = used.ru_nivcsw};
}

/* Was the processor another's while it was wanted here? A caller's it is at each request, where both are on one. */
static bool is_crowded(const struct linger_use *last)
{
	return last->preempted < WINDOW / 2 && last->running_ns < last->at_ns / 4 * 3;
}

static bool stays_awake(struct linger *linger, const struct linger_use *last)
{
	linger->found = is_crowded(last) ? linger->found + 1 : 0;
	if (linger->found < CROWDED)
		return true;
	linger->not_before_ns = linger->use.at_ns + REST_NS;
	return false;
}

static bool is_parted(const struct linger_use *last)
{
	return last->slept >= OFTEN && last->slept > 2 * last->preempted;
}

static bool wakes(struct linger *linger, const struct linger_use *last)
{
	linger->found = is_parted(last) ? linger->found + 1 : 0;
	return linger->found >= PARTED && linger->use.at_ns >= linger->not_before_ns;
}

static void set_awake(struct linger *linger, bool awake)
{
	if (awake != linger->awake)
		linger->found = 0;
	linger->awake = awake;
}

void linger_count(struct linger *linger, bool alone)
{
	struct linger_use now, last;

	if (++linger->requests < WINDOW)
		return;
	now = use_now();
	last = (struct linger_use){.at_ns = now.at_ns - linger->use.at_ns,
		.running_ns = now.running_ns - linger->use.running_ns,
		.slept = now.slept - linger->use.slept,
		.preempted = now.preempted - linger->use.preempted};
	linger->requests = linger->late = 0;
	linger->use = now;
	if (!alone || last.at_ns > (int64_t)WINDOW * SOON_NS) {
		linger->found = 0;
		linger->awake = false;
	} else {
		set_awake(linger,
			linger->awake ? stays_awake(linger, &last) : wakes(linger, &last));
	}
}

void linger_for(struct linger *linger, int fd)
{
	struct pollfd request = {.fd = fd, .events = POLLIN};
	int64_t now_ns, until_ns;

	if (!linger->awake)
		return;
	now_ns = monotonic_ns();
	until_ns = now_ns + AWAKE_NS;
	if (linger->asleep_ns && now_ns - linger->asleep_ns > LONG_NS)
		set_awake(linger, false);
	linger->asleep_ns = 0;
	while (linger->awake && poll(&request, 1, 0) == 0) {
		now_ns = monotonic_ns();
		if (now_ns < until_ns)
			continue;
		linger->asleep_ns = now_ns;
		set_awake(linger, ++linger->late < OFTEN);
		return;
	}
}
