/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EAV_BATCH_H
#define OUROFS_EAV_BATCH_H

#include "eav_private.h"

/*
 * One eav_write, inside its transaction (eav_txn.c), and how it brings an entity's datoms to those of a
 * value (eav_batch.c). Functions return 0, a negative errno or LMDB's code.
 */
struct eav_batch {
	struct eav *eav;
	MDB_txn *txn;
	uint64_t transaction; /* its number */
	const struct eav_item *given;
	const struct eav_item **items; /* in the order of writing */
	size_t count;
	const struct saved_note *notes;
	size_t note_count;
	uint64_t next_entity;
	uint64_t first_new; /* next_entity before this */
	uint64_t added;
	uint64_t removed;
	struct eav_prepared *prepared; /* or NULL */
	struct eav_datoms datoms;      /* of the item in hand, where they are not prepared */
	struct buf gone;               /* parts of keys to remove, each behind its length, a u16 */
	MDB_cursor *eav_cursor;
	bool appends;           /* the entity in hand is new: its keys are the last of "eav" */
	struct eav_key last;    /* the greatest of "documents", those written by this included */
	struct eav_index ave;   /* of all items */
	struct eav_types types; /* by how many documents there are more */
};

static inline MDB_dbi eav_batch_table(const struct eav_batch *b, unsigned name)
{
	return b->eav->env.tables[name];
}

/* To "eav", through a cursor, which stays where the next key is. What is appended fills its pages. */
int eav_batch_put_eav(struct eav_batch *b, const struct eav_key *key, struct slice value);
/* What is not there is not there: a damaged index mends as it is written. */
int eav_batch_del(struct eav_batch *b, unsigned from, const struct eav_key *key);

/* Brings the entity's datoms to those of value (NULL: none). */
int eav_batch_write_datoms(struct eav_batch *b, uint64_t entity, const struct edn *value);
/* A new entity has no datoms to compare with. */
int eav_batch_add_datoms(struct eav_batch *b, uint64_t entity, const struct edn *value);
/* The same, of what is prepared for an item; its rows of "ave" are put with those of all, by eav_prepared_write. */
int eav_batch_put_prepared(struct eav_batch *b, uint64_t entity, size_t item);

#endif
