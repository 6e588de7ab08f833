/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_BACKGROUND_H
#define OUROFS_BACKGROUND_H

#include <stdatomic.h>
#include <stdbool.h>

/*
 * For a thread that works for long without anyone waiting for it: calls this first, and what wakes on its
 * processor is run at once instead of when its slice ends, milliseconds later. It loses nothing else: as much
 * of the processor is its own as before, in longer turns. Threads that it starts inherit it.
 *
 * By the time slice that sched_setattr(2) sets since Linux 6.12, where a shorter one preempts a longer; before
 * that nothing changes. Nice (0 to 19) on top leaves the processor to others while they want it.
 */
enum { BACKGROUND_NICE = 10 };

void background_thread(int nice);

/*
 * Between two steps of such work, of some 100 us each: was anyone served in the last 2 ms, it sleeps for an instant. What wakes and had more than its share before waits for the next tick of the clock otherwise, up to
 * 4 ms; and where callers are in another session, so are their turns of the processor, whatever nice says.
 *
 * On a busy machine an instant is long, and others have their turns anyway: then at least half of the time is for the
 * work.
 */
struct attention {
	atomic_bool served;     /* set by who serves */
	atomic_llong served_ns; /* when that was seen last */
	atomic_llong until_ns;  /* no instant before that */
};

bool background_is_served(struct attention *attention);
/* From any thread. NULL: nobody is served. */
void background_make_way(struct attention *attention);

/* Read before it is written, so that threads that serve don't take its cache line from one another. */
static inline void background_served(struct attention *attention)
{
	if (!atomic_load_explicit(&attention->served, memory_order_relaxed))
		atomic_store_explicit(&attention->served, true, memory_order_relaxed);
}

#endif
