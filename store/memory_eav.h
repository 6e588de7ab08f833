/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_EAV_H
#define OUROFS_MEMORY_EAV_H

#include "memory_batch.h"

/*
 * The memory's side of the EAV store. It is opened and closed under the writer's lock, by the flush thread (or
 * where that does not run); it is read under memory.lock; it is written with
 * flush.turn held, by the flush thread or a migration.
 *
 *	EAV_CLOSED  the mode needs it not
 *	EAV_BEHIND  written with all that is new, not read: it does not hold yet what it should
 *	EAV_READY   what it holds is what is served
 *	EAV_FAILED  it could not be opened, read or written; tried again, and brought up then, or made anew
 */

/* What saved's note "eav" says of the store as it is left. */
enum { EAV_IS_BEHIND, EAV_IS_CURRENT, EAV_IS_REMADE };

/* Under the writer's lock. -EINVAL (another program's), -EUCLEAN ...; state is EAV_BEHIND or EAV_FAILED. */
int memory_eav_open(struct memory *m, struct err *err);
void memory_eav_close(struct memory *m);
/* From any thread. */
void memory_eav_fail(struct memory *m, const struct err *err);
/* Why it is not ready, as an error. */
int memory_eav_reason(struct memory *m, struct err *err);
/* The store holds what was committed up to saved's watermark: both say so. */
int memory_eav_mark(struct memory *m, struct err *err);
/* saved says whether the EAV store, as it is left, holds what it should. */
int memory_eav_note(struct memory *m, bool current, struct err *err);

/* What the batch has for it, in one transaction, with the watermark. */
int memory_eav_write(struct memory *m, const struct batch *batch, struct err *err);

/* ---- one entity: memory_eav_item.c ---- */

/*
 * What the store is to hold for a document; all of it in arena. in_edn: memory.edn is written with it. Else the
 * EAV store is asked what that had, under memory.lock or on the flush thread. text.ptr NULL: saved has the bytes.
 * -EFBIG: it is not taken there, as memory.edn has it, see memory_value_read.
 */
int memory_eav_item(struct memory *m, struct arena *arena, struct slice name,
	const struct saved_record *saved, struct slice text, bool in_edn, struct eav_item *item);
/* For a collection. */
int memory_eav_collection(struct arena *arena, struct slice name, uint64_t sequence,
	struct eav_item *item);

/* ---- all of them: memory_walk.c, memory_agree.c ---- */

struct agree {
	bool migrate;  /* what the EAV store never had is written there, too */
	bool check;    /* changes nothing, counts what it lacks or holds otherwise */
	bool tolerant; /* an entity that can't be brought there does not end it */
	size_t differ; /* also without check: what the EAV store does not take, see memory_eav_item */
	char first[200]; /* one of these */
};
/*
 * Brings the EAV store up to what is served, entity by entity. Where it is ahead of memory.edn (it was
 * written while that was not), that is taken over; where both were changed, what is served stands and the other
 * is kept under /.conflicts. The flush thread's, or where that does not run. -ECANCELED: the memory is closing.
 */
int memory_agree(struct memory *m, struct agree *agree, struct err *err);
/* The values of memory.edn, as the EAV store has them: for datalevin-only. At open. */
int memory_load_eav(struct memory *m, struct err *err);

#endif
