/* SPDX-License-Identifier: MIT */
#include "background.h"

#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SLICE_NS = 100000000 }; /* the longest that there is */
enum { NAP_NS = 1000 };        /* and the timer slack, of 50 us */

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

void background_make_way(atomic_bool *served)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};

	if (!served || !atomic_load_explicit(served, memory_order_relaxed))
		return;
	atomic_store_explicit(served, false, memory_order_relaxed);
	nanosleep(&nap, NULL);
}
