/* SPDX-License-Identifier: MIT */
/*
 * fs/linger.h between a caller and a thread that answers him, on two processors.
 *
 *	linger_probe PAUSE_US ALONE REQUESTS
 *
 * The caller asks, waits for the answer, and again after a pause, until the thread is awake or REQUESTS were answered.
 * Prints "awake" or "asleep", and of a tenth of a second without requests after that how many microseconds it ran.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "linger.h"

static int asked[2], answered[2];
static bool alone;
static atomic_bool awake;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* The first or the last of the processors there may be. */
static void stay_on(bool last)
{
	cpu_set_t set;
	int chosen = -1;

	if (sched_getaffinity(0, sizeof(set), &set))
		die("sched_getaffinity");
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &set) && (last || chosen < 0))
			chosen = i;
	}
	CPU_ZERO(&set);
	CPU_SET(chosen, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static void *serve(void *context)
{
	struct linger linger = {0};
	char byte;

	stay_on(true);
	for (;;) {
		linger_for(&linger, asked[0]);
		if (read(asked[0], &byte, 1) != 1)
			return context;
		linger_count(&linger, alone);
		awake = linger.awake;
		if (write(answered[1], &byte, 1) != 1)
			die("write");
	}
}

static void pause_us(long us)
{
	struct timespec time = {us / 1000000, us % 1000000 * 1000};

	if (us)
		nanosleep(&time, NULL);
}

static long running_us(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time))
		die("clock_gettime");
	return time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	clockid_t clock;
	long before;
	char byte = 0;

	if (argc != 4 || pipe(asked) || pipe(answered))
		return 2;
	alone = strtol(argv[2], NULL, 10);
	if (pthread_create(&thread, NULL, serve, NULL) || pthread_getcpuclockid(thread, &clock))
		return 2;
	stay_on(false);
	for (long left = strtol(argv[3], NULL, 10); left > 0 && !awake; left--) {
		if (write(asked[1], &byte, 1) != 1 || read(answered[0], &byte, 1) != 1)
			die("asking");
		pause_us(strtol(argv[1], NULL, 10));
	}
	printf("%s ", awake ? "awake" : "asleep");
	pause_us(50000);
	before = running_us(clock);
	pause_us(100000);
	printf("%ld\n", running_us(clock) - before);
	close(asked[1]);
	pthread_join(thread, NULL);
	return 0;
}
