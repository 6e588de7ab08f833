/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * The largest are more than malloc keeps for itself in our programs, so that a document's memory goes back to the
 * system with it, whatever was allocated behind it meanwhile.
 */
enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 8 << 20, ALIGNMENT = 16 };

struct arena_block {
	struct arena_block *older;
	size_t size;
	_Alignas(ALIGNMENT) char bytes[];
};

struct arena_guest {
	struct arena_guest *older;
	void *allocated;
};

static void *alloc_in_new_block(struct arena *arena, size_t size)
{
	size_t room = arena->block ? arena->block->size * 2 : FIRST_BLOCK;
	struct arena_block *block;

	if (room > LARGEST_BLOCK)
		room = LARGEST_BLOCK;
	if (room < size)
		room = size;
	if (room > SIZE_MAX / 2)
		return NULL;
	block = malloc(sizeof(*block) + room);
	if (!block)
		return NULL;
	block->size = room;
	block->older = arena->block;
	arena->block = block;
	arena->used = size;
	return block->bytes;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	void *at;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (!arena->block || size > arena->block->size - arena->used)
		return alloc_in_new_block(arena, size);
	at = arena->block->bytes + arena->used;
	arena->used += size;
	return at;
}

void *arena_copy(struct arena *arena, const void *bytes, size_t size)
{
	void *to = arena_alloc(arena, size);

	if (to && size)
		memcpy(to, bytes, size);
	return to;
}

bool arena_adopt(struct arena *arena, void *allocated)
{
	struct arena_guest *guest = arena_alloc(arena, sizeof(*guest));

	if (!guest)
		return false;
	*guest = (struct arena_guest){arena->guest, allocated};
	arena->guest = guest;
	return true;
}

void arena_rewind(struct arena *arena, struct arena mark)
{
	for (; arena->guest != mark.guest; arena->guest = arena->guest->older)
		free(arena->guest->allocated);
	while (arena->block != mark.block) {
		struct arena_block *older = arena->block->older;

		free(arena->block);
		arena->block = older;
	}
	arena->used = mark.used;
}

void arena_reset(struct arena *arena)
{
	for (; arena->guest; arena->guest = arena->guest->older)
		free(arena->guest->allocated);
	while (arena->block && arena->block->older) {
		struct arena_block *older = arena->block->older;

		free(arena->block);
		arena->block = older;
	}
	arena->used = 0;
}

void arena_release(struct arena *arena)
{
	if (!arena)
		return;
	arena_reset(arena);
	free(arena->block);
	*arena = ARENA_INIT;
}
