/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_HUGE_H
#define OUROFS_HUGE_H

#include <stddef.h>

/*
 * Arrays that may grow to megabytes: from HUGE_BYTES on they lie in huge pages, where the system has them, so that to
 * fill one costs one page fault each HUGE_BYTES and not each 4 KB. A fault takes half a microsecond, and thirty in a
 * guest without nested paging, where a mount had 7,500 of them. And they go back to the system when they are freed,
 * whatever malloc would keep of them.
 *
 * Smaller ones are malloc's. Any thread; NULL: out of memory, and what was there is as it was.
 *
 *	array = huge_alloc(bytes);			// all zero
 *	array = huge_resize(array, bytes, more);	// as realloc; what is new of it is not zero
 *	huge_free(array, more);
 */
enum { HUGE_BYTES = 2 << 20 };

void *huge_alloc(size_t bytes);
void *huge_resize(void *memory, size_t bytes, size_t want);
void huge_free(void *memory, size_t bytes);

/* Zeroed bytes of the system's, at an address that alignment divides: a power of two, from the page's size on. */
void *huge_map(size_t bytes, size_t alignment);
/* Of such bytes at a huge page's begin: they will be written from end to end. */
void huge_advise(void *memory, size_t bytes);

#endif
