/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_BACKGROUND_H
#define OUROFS_BACKGROUND_H

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

#endif
