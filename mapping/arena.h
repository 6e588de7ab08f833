/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ARENA_H
#define OUROFS_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Memory that is freed all at once: the values of one document live in one arena.
 *
 * A zeroed arena is ready for use; arena_reset keeps the first block for the next document.
 * Pointers are aligned for any type and stay valid until reset or release.
 */
struct arena {
	struct arena_block *block; /* newest first */
	size_t used;               /* of the newest block's bytes */
	struct arena_guest *guest; /* adopted, newest first */
};

#define ARENA_INIT ((struct arena){0})

void *arena_alloc(struct arena *arena, size_t size); /* NULL: out of memory */
void *arena_copy(struct arena *arena, const void *bytes, size_t size);
/* Takes over what malloc gave, which is freed with the rest: what is large need not be copied. False: out of memory. */
bool arena_adopt(struct arena *arena, void *allocated);
/* What was allocated since goes; the arena itself says how it is: `struct arena mark = arena`. */
void arena_rewind(struct arena *arena, struct arena mark);
void arena_reset(struct arena *arena);
void arena_release(struct arena *arena);

#endif
