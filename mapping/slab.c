/* SPDX-License-Identifier: MIT */
#include "slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "huge.h"

enum { SLAB_BYTES = 1 << 16, GRAIN_BYTES = 8, NONE = UINT16_MAX };
/* From so many slabs on they are mapped as many at a time as fill a huge page; each goes back by itself all the same. */
enum { FEW = 16 };

/* Where each object is to be watched by itself, malloc has it. */
#if defined(__SANITIZE_ADDRESS__)
enum { LARGEST_BYTES = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { LARGEST_BYTES = 0 };
#else
enum { LARGEST_BYTES = SLAB_CLASSES * GRAIN_BYTES };
#endif
#else
enum { LARGEST_BYTES = SLAB_CLASSES * GRAIN_BYTES };
#endif

/* At the beginning of SLAB_BYTES that are aligned to as many. A free object holds the number of the next. */
struct slab {
	struct slab *prev, *next; /* in the ring of those with room */
	uint16_t used;
	uint16_t taken; /* from the beginning on: these were in use once */
	uint16_t free;  /* of those: the first free one, or NONE */
	uint16_t capacity;
	uint64_t objects[];
};

static size_t class_of(size_t size)
{
	return (size + GRAIN_BYTES - 1) / GRAIN_BYTES - 1;
}

static bool is_large(size_t size)
{
	return !size || size > LARGEST_BYTES;
}

static uint16_t *object_at(struct slab *slab, size_t class, size_t number)
{
	return (uint16_t *)(slab->objects + number * (class + 1));
}

static struct slab *map(struct slab_pool *pool)
{
	char *slab;

	if (!pool->fresh_bytes && pool->slabs >= FEW && (pool->fresh = huge_alloc(HUGE_BYTES)))
		pool->fresh_bytes = HUGE_BYTES;
	if (pool->fresh_bytes) {
		slab = pool->fresh;
		pool->fresh += SLAB_BYTES;
		pool->fresh_bytes -= SLAB_BYTES;
	} else {
		slab = huge_map(SLAB_BYTES, SLAB_BYTES);
	}
	pool->slabs += slab != NULL;
	return (struct slab *)slab;
}

static void unmap_fresh(struct slab_pool *pool)
{
	if (pool->fresh_bytes)
		munmap(pool->fresh, pool->fresh_bytes);
	pool->fresh_bytes = 0;
}

static void unmap(struct slab_pool *pool, struct slab *slab)
{
	munmap(slab, SLAB_BYTES);
	if (--pool->slabs < FEW)
		unmap_fresh(pool);
}

static void link_in(struct slab_pool *pool, size_t class, struct slab *slab)
{
	struct slab *first = pool->open[class];

	slab->next = first ? first : slab;
	slab->prev = first ? first->prev : slab;
	slab->prev->next = slab;
	slab->next->prev = slab;
	pool->open[class] = slab;
}

static void take_out(struct slab_pool *pool, size_t class, struct slab *slab)
{
	pool->open[class] = slab->next == slab ? NULL : slab->next;
	slab->prev->next = slab->next;
	slab->next->prev = slab->prev;
}

static struct slab *new_slab(struct slab_pool *pool, size_t class)
{
	struct slab *slab = map(pool);

	if (!slab)
		return NULL;
	slab->used = slab->taken = 0;
	slab->free = NONE;
	slab->capacity = (uint16_t)((SLAB_BYTES - sizeof(*slab)) / ((class + 1) * GRAIN_BYTES));
	link_in(pool, class, slab);
	return slab;
}

void *slab_alloc(struct slab_pool *pool, size_t size)
{
	size_t class = class_of(size);
	struct slab *slab;
	uint16_t *object;

	if (is_large(size))
		return malloc(size);
	slab = pool->open[class] ? pool->open[class] : new_slab(pool, class);
	if (!slab)
		return NULL;
	if (slab->free == NONE) {
		object = object_at(slab, class, slab->taken++);
	} else {
		object = object_at(slab, class, slab->free);
		slab->free = *object;
	}
	if (++slab->used == slab->capacity)
		take_out(pool, class, slab);
	return object;
}

static void put_back(struct slab *slab, size_t class, void *object)
{
	size_t offset = (size_t)((char *)object - (char *)slab->objects);

	*(uint16_t *)object = slab->free;
	slab->free = (uint16_t)(offset / ((class + 1) * GRAIN_BYTES));
}

void slab_free(struct slab_pool *pool, void *object, size_t size)
{
	size_t class = class_of(size);
	struct slab *slab;

	if (!object || is_large(size)) {
		free(object);
		return;
	}
	slab = (struct slab *)((char *)object - (uintptr_t)object % SLAB_BYTES);
	if (slab->used-- == slab->capacity)
		link_in(pool, class, slab);
	put_back(slab, class, object);
	/* the last one with room stays: who makes and frees one object in turns needs no system calls */
	if (!slab->used && slab->next != slab) {
		take_out(pool, class, slab);
		unmap(pool, slab);
	}
}

void slab_pool_release(struct slab_pool *pool)
{
	for (size_t class = 0; class < SLAB_CLASSES; class ++) {
		struct slab *slab = pool->open[class];

		if (slab && !slab->used)
			unmap(pool, slab);
		pool->open[class] = NULL;
	}
	unmap_fresh(pool);
}
