/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_EVENT_H
#define OUROFS_MEMORY_EVENT_H

#include "memory_internal.h"

/*
 * What the memory tells whoever listens (memory_on_event), and what it knows to fail. Any thread, under any
 * lock of the memory's: the listener calls nothing of it. While nobody listens telling costs a load or two; what a merge
 * tells before there is a listener is kept for the first.
 */

/* For durations. */
double memory_clock_ms(void);

/* What was done to a document or directory, or was to be: a negative ret makes it "rejected" or "error". */
struct memory_done {
	const char *name; /* "memory/save" */
	struct slice path;
	struct slice to;       /* a rename's, else nothing */
	const char *store;     /* NULL: those that the mode writes */
	const char *detail;    /* or NULL */
	const struct err *err; /* or NULL: of which line and column are told */
	double start_ms;       /* memory_clock_ms() before; 0: it took no time of its own */
	int ret;
};
/* Not under memory.lock, so that nobody waits for it. */
void memory_tell_done(struct memory *m, const struct memory_done *done);
/* A document is not shown, memory_value_read's reason says why. Likewise. */
void memory_tell_hidden(struct memory *m, struct slice path, const struct err *reason);

/*
 * A store fails (with the reason, or with err->code 0: it does no more). Told when it begins and when it
 * ends, not each time.
 */
void memory_fails(struct memory *m, enum failing which, const struct err *err);
void memory_fails_no_more(struct memory *m, enum failing which);
static inline bool memory_is_failing(struct memory *m, enum failing which)
{
	return atomic_load(&m->failures[which].since_s) != 0;
}
/* A store was made anew: told, and kept for health and for who listens later. */
void memory_tell_remade(struct memory *m, enum failing which, const struct remade *remade);
/* It is not needed any more: nothing is told. */
void memory_failing_forget(struct memory *m, enum failing which);

#endif
