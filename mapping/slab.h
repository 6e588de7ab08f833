/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SLAB_H
#define OUROFS_SLAB_H

#include <stddef.h>

/*
 * Memory for very many small objects that come and go in bulk: each lies in a slab of objects of its size, without a
 * header of its own, and a slab goes back to the system with the last object in it. What malloc gave is often
 * kept by it, as something else lies in between.
 *
 * A zeroed pool is ready for use. Locking is the caller's. Pointers are aligned for any object whose size is a multiple
 * of its alignment, up to 8.
 *
 *	struct slab_pool pool = {0};
 *	object = slab_alloc(&pool, size);	// NULL: out of memory; bytes are as they were
 *	slab_free(&pool, object, size);		// the size it was asked for with
 *	slab_pool_release(&pool);		// when all objects are free
 */
enum { SLAB_CLASSES = 48 };

struct slab;

struct slab_pool {
	struct slab *open[SLAB_CLASSES]; /* by size: those with room, in a ring */
	size_t slabs;                    /* that have objects, or had the last one */
	char *fresh;                     /* so many bytes for more, mapped at once */
	size_t fresh_bytes;
};

void *slab_alloc(struct slab_pool *pool, size_t size);
void slab_free(struct slab_pool *pool, void *object, size_t size);
void slab_pool_release(struct slab_pool *pool);

#endif
