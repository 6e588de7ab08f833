/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_PLACE_H
#define OUROFS_MEMORY_PLACE_H

#include "edn.h"
#include "memory.h"

/*
 * Where fuzz_memory.c's memory is on disk: memory.edn and its STORE in a directory of their own in /dev/shm, and what
 * happens to them behind its back.
 */
struct place {
	char directory[40]; /* empty: none */
	char edn[64];
	char store[64];
};

/* A new directory, with nothing in it. */
void place_make(struct place *place);
/* With all that is in it. */
void place_remove(struct place *place);
/* A copy in a new directory, as a kill at this instant would leave it. False: it may be of more than one instant. */
bool place_copy(const struct place *from, struct place *to);

/* The journal's length. False: it is of more than one segment, or there is none. */
bool place_journal_length(const struct place *place, off_t *length);
void place_cut_journal(const struct place *place, off_t length);

/* In place, as the other writer does; in two steps. */
void place_write_edn(const struct place *place, struct slice text);
/* memory.edn is one form, of this text's value. */
bool place_edn_is(const struct place *place, struct slice text);

/*
 * The text of a memory with another value (NULL: none) for an entity: key a keyword's text without the colon, member a string
 * or NULL.
 */
void place_change_text(struct buf *out, struct slice text, const char *key, const char *member,
	const struct edn *value);

#endif
