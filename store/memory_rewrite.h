/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_REWRITE_H
#define OUROFS_MEMORY_REWRITE_H

#include "memory_internal.h"

/* All on the worker's thread, without locks. */

/*
 * Writes memory.edn where it lacks something. -EAGAIN: someone else wrote to it meanwhile, nothing was
 * replaced; unless insist, when what he wrote is merged from the file that was replaced. Before the rename the new file's hash is durable in saved, its sequence number with it: a file
 * that is found so is ours.
 */
int memory_rewrite(struct memory *m, bool insist, struct err *err);

/* ---- memory_replaced.c: the files that rewrites replaced ---- */

/*
 * A rival that opened memory.edn just before a rename writes to a file that has no name any more. Each one stays
 * open until no one has it open for writing, for 2 s at least; what lands there is merged.
 */
void replaced_add(struct memory *m, const struct ednfile_replaced *replaced);
int replaced_look(struct memory *m, struct err *err);
/* Monotonic, when to look again; 0: there are none. */
int64_t replaced_next_ms(const struct memory *m);
void replaced_release(struct memory *m);

#endif
