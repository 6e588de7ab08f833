/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_MERGE_H
#define OUROFS_MEMORY_MERGE_H

#include "memory_internal.h"

/*
 * Merging what someone else wrote to memory.edn, entity by entity: a document, a member, the bare
 * existence of a collection.
 *
 *	theirs = ours                       nothing
 *	not changed here since the base     theirs is adopted
 *	theirs = base, or what stood here   their copy is stale: ours is put back
 *	  since
 *	else                                ours stands, theirs is kept as a conflict
 *
 * Where theirs has a collection and a document of ours stands, it is one value: none of its members is adopted. A member
 * of ours that stands keeps its collection.
 *
 * base: the value in the last file that the other writer wrote. Absence is a value. Afterwards theirs is the
 * base of every entity: a new epoch, in which those that stand have a base that differs from them.
 */
struct merge {
	struct memory *m;
	struct ednfile *theirs;
	bool from_elsewhere;     /* it is not the file that stands at memory.edn's name */
	struct buf found;        /* theirs as it was, when it is to be kept whole */
	struct buf lacks;        /* changes that adopt what theirs lacks: first, they make way */
	struct buf payload;      /* all other changes */
	struct slice collection; /* whose members are walked */
	bool member_adopted;     /* one of them was */
	bool own;              /* theirs is as it was left here: whatever differs in it is stale */
	struct table standing; /* names of ours that stand -> itself */
	size_t ours, missing;  /* entities of the last file, and how many of these theirs lacks */
	bool removed;          /* theirs is no file at all */
	bool keep_absent;      /* the writer started empty: what it lacks is no deletion */
	char kept[SET_ASIDE_NAME]; /* then: where it is; "": it was not there any more */
	uint64_t adoptions, stale, conflicts;
	uint64_t next_ino, version;
	uint64_t sequence, first_ino; /* of ours when it was compared */
	uint64_t adopted;             /* sequence of the adoption's record */
	struct table verdicts;        /* memory_identical's */
	struct table held;            /* what in theirs clojure.edn can't read */
};

/* ---- memory_compare.c ---- */

/*
 * What is there to adopt, and what stands? Under memory.lock, reading only, with no ghosts in the file.
 * May be called again.
 */
int merge_compare(struct merge *merge);

/* ---- memory_verdict.c ---- */

/* What a file has at id, whatever its kind. */
int merge_identity_in(const struct memory *m, const struct ednfile *file, struct entity_id id,
	struct hash128 *identity);
/* Of a difference; the base of id, if it has one, goes to base. Negative errno or enum verdict. */
int merge_judge(struct merge *merge, struct entity_id id, struct hash128 theirs,
	struct saved_base *base);
/* Ours stays; from now on its base is what theirs has, and what stood here is still ours. */
int merge_stand(struct merge *merge, struct entity_id id, const struct saved_base *base,
	struct hash128 theirs);
/* Keeps a value of theirs under /.conflicts. */
int merge_keep_theirs(struct merge *merge, struct entity_id id, struct slice text);

#endif
