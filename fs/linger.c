/* SPDX-License-Identifier: MIT */
#include "linger.h"

#include <poll.h>
#include <sys/resource.h>
#include <time.h>

#include "monotonic.h"

enum {
	WINDOW = 32,                 /* requests from one look to the next */
	OFTEN = WINDOW / 4,          /* half as often as who opens and closes has to wait */
	CROWDED = 4,                 /* looks on end: less may be a thread of our own */
	AWAKE_NS = 50 * 1000,        /* a caller that does nothing else asks again by then */
	SOON_NS = 200 * 1000,        /* from one request to the next */
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
	linger->crowded = is_crowded(last) ? linger->crowded + 1 : 0;
	if (linger->crowded < CROWDED)
		return true;
	linger->crowded = 0;
	linger->not_before_ns = linger->use.at_ns + REST_NS;
	return false;
}

static bool is_parted(const struct linger *linger, const struct linger_use *last)
{
	return last->slept >= OFTEN && last->slept > 2 * last->preempted &&
	       linger->use.at_ns >= linger->not_before_ns;
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
	if (!alone || last.at_ns > (int64_t)WINDOW * SOON_NS)
		linger->awake = false;
	else
		linger->awake =
			linger->awake ? stays_awake(linger, &last) : is_parted(linger, &last);
}

void linger_for(struct linger *linger, int fd)
{
	struct pollfd request = {.fd = fd, .events = POLLIN};
	int64_t until_ns;

	if (!linger->awake)
		return;
	until_ns = monotonic_ns() + AWAKE_NS;
	while (poll(&request, 1, 0) == 0) {
		if (monotonic_ns() < until_ns)
			continue;
		linger->awake = ++linger->late < OFTEN;
		return;
	}
}
