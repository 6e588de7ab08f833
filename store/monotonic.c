/* SPDX-License-Identifier: MIT */
#include "monotonic.h"

#include <time.h>

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t monotonic_ms(void)
{
	return monotonic_ns() / NS_PER_MS;
}

void monotonic_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t clock;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &clock);
	pthread_condattr_destroy(&clock);
}

int monotonic_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns)
{
	const struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};

	return pthread_cond_timedwait(cond, mutex, &until);
}
