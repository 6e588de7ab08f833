/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LISTING_H
#define OUROFS_LISTING_H

#include "state.h"

/*
 * The names of a directory as they were when its reading began: sorted, each once, so that readdir's
 * offsets (an index here) mean the same however the directory changes meanwhile. It may be a million of them,
 * so that each is kept as what it does not share with the one before.
 */
struct listing_entry {
	uint64_t ino;
	uint8_t type; /* DT_DIR, DT_REG */
	uint8_t name_len;
	char name[256]; /* NUL-terminated */
};

struct listing {
	size_t count;
	struct buf packed;
	size_t *runs; /* where those begin that share nothing with the one before */
	/* the one that was asked for last, and what is behind it */
	struct listing_entry entry;
	size_t index, behind;
};

/* Everything in directory: of the memory, of scratch, new files not yet saved. */
int listing_new(struct listing **listing, struct fs *fs, const struct node *directory);
void listing_free(struct listing *listing);

/* index < count; valid until the next call. The next one costs less than any other. */
const struct listing_entry *listing_at(struct listing *listing, size_t index);

#endif
