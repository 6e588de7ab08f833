/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_AGREE_H
#define OUROFS_MEMORY_AGREE_H

#include "memory_names.h"

/*
 * How the two stores are brought to agree, entity by entity (memory_agree.c), in chunks of a list of names
 * (memory_walk.c). Each chunk is compared, under memory.lock in short pieces, and written without it, while
 * another thread compares the next one.
 *
 *	ret = walk_begin(&walk, m, &agree, &names, 0);
 *	while (!ret && walk_more(&walk))
 *		ret = walk_step(&walk, write, context, &err);	// write: in flush.turn, chunk_write
 *	walk_end(&walk);
 *
 * What is saved between the two comes to the EAV store through the flush thread as ever. Where that does not
 * wait for the walk, it notes what it has written (memory_flush.c), and chunk_write leaves that as it is.
 */

/* An entity that could not be brought there. */
struct agree_failure {
	struct agree_failure *next;
	struct slice name; /* entity_id_name */
	int ret;
};

/* What a document's item is made of, once memory.lock is not held any more. */
struct agree_source {
	struct saved_record saved;
	struct slice text;
	bool in_edn; /* the mode of that time writes memory.edn */
};

struct chunk {
	struct memory *m;
	struct agree *agree;
	const struct names *names;
	struct arena arena;
	struct eav_item *items;
	struct agree_source *sources; /* of each item; text.ptr NULL: it is made */
	size_t count;
	struct eav_prepared *prepared; /* of all items, or NULL */
	size_t bytes;
	size_t from, to;                /* of names */
	uint64_t sequence;              /* the memory's, when the first of them was compared */
	struct buf adopted;             /* changes of what the EAV store is ahead with */
	struct agree_failure *failures; /* of a tolerant agree */
};

/*
 * Under memory.lock: finds out what is to be done for one name, which goes to items, or adopted. An error of
 * this entity alone: damage, -ENOMEM.
 */
int agree_one(struct chunk *chunk, struct reading *reading, struct slice name);
/* Makes the item, which takes the longest: without memory.lock. */
int agree_make(struct chunk *chunk, size_t i);

/* The walk's own. Zeroed, it has ended. */
struct walk {
	struct chunk chunk; /* the one that is compared */
	int ret;            /* of that */
	struct arena spare; /* of the one before it */
};

/* With the name `from`. */
int walk_begin(struct walk *walk, struct memory *m, struct agree *agree, const struct names *names,
	size_t from);
bool walk_more(const struct walk *walk);
/* write takes one chunk to the EAV store, which is then done and released. */
typedef int walk_write_fn(void *context, struct chunk *chunk, struct err *err);
int walk_step(struct walk *walk, walk_write_fn *write, void *context, struct err *err);
void walk_end(struct walk *walk);

/* With flush.turn held, or where the flush thread does not run. */
int chunk_write(struct chunk *chunk, struct err *err);

#endif
