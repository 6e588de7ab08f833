/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_RESIDENT_H
#define OUROFS_MEMORY_RESIDENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What the stores' files take of the process's memory: they are mapped, and each page that was read counts until
 * it is given back, which costs a page fault the next time: it stays in the page cache.
 */
struct memory;

struct resident {
	int statm_fd; /* /proc/self/statm, or -1 */
	atomic_uint looks;
	atomic_uint tended; /* by so many works: no ticks */
	atomic_flag sweeping;
	unsigned hand; /* which mapping is the next to be swept, and from where; sweeping's */
	size_t hand_at;
	size_t gone; /* names that left memory since malloc was asked; guarded by memory.lock */
};

/* statm_fd as in struct memory_options. */
void memory_resident_init(struct resident *resident, int statm_fd);
void memory_resident_release(struct resident *resident);

/* Gives it back where it is much. Without locks of the memory's, outside a read of the stores. */
void memory_resident_trim(struct memory *m);
/* The same for work that nobody waits for, which makes way for who is served. */
void memory_resident_trim_background(struct memory *m);
/*
 * Such work maps so much that of small reads every tick would find it to be much, and they would wait for what is
 * not theirs: from on = true until false that work trims alone, between its steps or behind them.
 */
void memory_resident_tend(struct memory *m, bool on);
/* For small reads, from any thread: now and then one of them gives back a part, where it is more than there is room for. */
void memory_resident_tick(struct memory *m);
/* The same under memory.lock, of each step of a long look. */
void memory_resident_tick_held(struct memory *m);
/* The same with the tree held, of memory.edn's text alone: who reads in the other stores may wait for the tree. */
void memory_resident_tick_loading(struct memory *m);
/* Behind a look at all that there is: what nobody else wants. */
void memory_resident_drop(struct memory *m);
/* Behind long work: that, and also what malloc keeps of what was freed. */
void memory_resident_rest(struct memory *m);

#endif
