/* SPDX-License-Identifier: MIT */
#include "background.h"

#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SLICE_NS = 100000000 }; /* the longest that there is */
enum { NAP_NS = 1000 };        /* and the timer slack, of 50 us */
enum { LONG_NAP_NS = 1000000, ATTENTION_NS = 2000000 };

/* Where it is not allowed, things are slower and not wrong. */
void background_thread(int nice)
{
	struct sched_attr attr = {.size = sizeof(attr)};

	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0))
		return;
	attr.sched_runtime = SLICE_NS;
	if (attr.sched_nice < nice)
		attr.sched_nice = nice;
	syscall(SYS_sched_setattr, 0, &attr, 0);
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

bool background_is_served(struct attention *attention)
{
	long long now = now_ns();

	if (atomic_load_explicit(&attention->served, memory_order_relaxed)) {
		atomic_store_explicit(&attention->served, false, memory_order_relaxed);
		atomic_store_explicit(&attention->served_ns, now, memory_order_relaxed);
		return true;
	}
	return now - atomic_load_explicit(&attention->served_ns, memory_order_relaxed) <
	       ATTENTION_NS;
}

void background_make_way(struct attention *attention)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	long long start, end;

	if (!attention || !background_is_served(attention))
		return;
	start = now_ns();
	if (start < atomic_load_explicit(&attention->until_ns, memory_order_relaxed))
		return;
	nanosleep(&nap, NULL);
	end = now_ns();
	if (end - start > LONG_NAP_NS)
		atomic_store_explicit(&attention->until_ns, end + (end - start),
			memory_order_relaxed);
}
