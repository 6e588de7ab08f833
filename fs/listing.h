/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LISTING_H
#define OUROFS_LISTING_H

#include "state.h"

/*
 * The names of a directory as they were when its reading began: sorted, each once, so that readdir's
 * offsets (an index here) mean the same however the directory changes meanwhile.
 */
struct listing_entry {
	uint32_t name; /* offset in names; NUL-terminated */
	uint16_t name_len;
	uint8_t type; /* DT_DIR, DT_REG */
	uint64_t ino;
};

struct listing {
	struct buf names;
	struct listing_entry *entries;
	size_t count;
	size_t capacity;
};

/* Everything in directory: of the memory, of scratch, new files not yet saved. */
int listing_new(struct listing **listing, struct fs *fs, const struct node *directory);
void listing_free(struct listing *listing);

static inline const char *listing_name(const struct listing *listing, size_t index)
{
	return listing->names.ptr + listing->entries[index].name;
}

#endif
