/* SPDX-License-Identifier: MIT */
#include "mapped.h"

#include <sys/mman.h>

enum { STEP_BYTES = 4 << 20 };

bool mapped_unmap_step(char *begin, size_t size, size_t *at)
{
	size_t len;

	if (*at >= size)
		return false;
	len = size - *at < STEP_BYTES ? size - *at : STEP_BYTES;
	madvise(begin + *at, len, MADV_DONTNEED);
	*at += len;
	return *at < size;
}
