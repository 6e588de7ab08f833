/* SPDX-License-Identifier: MIT */
#include "huge.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *huge_map(size_t bytes, size_t alignment)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t before, behind;
	char *from;

	if (bytes > SIZE_MAX - alignment - page)
		return NULL;
	bytes = (bytes + page - 1) / page * page;
	from = mmap(NULL, bytes + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (from == MAP_FAILED)
		return NULL;
	before = (alignment - (uintptr_t)from % alignment) % alignment;
	behind = alignment - before;
	if (before)
		munmap(from, before);
	if (behind)
		munmap(from + before + bytes, behind);
	return from + before;
}

void huge_advise(void *memory, size_t bytes)
{
	madvise(memory, bytes, MADV_HUGEPAGE);
}

void *huge_alloc(size_t bytes)
{
	void *memory;

	if (bytes < HUGE_BYTES)
		return calloc(1, bytes);
	memory = huge_map(bytes, HUGE_BYTES);
	if (memory)
		huge_advise(memory, bytes);
	return memory;
}

void *huge_resize(void *memory, size_t bytes, size_t want)
{
	void *other;

	if (bytes < HUGE_BYTES && want < HUGE_BYTES)
		return realloc(memory, want);
	if (bytes >= HUGE_BYTES && want >= HUGE_BYTES) {
		/* moved, not copied; from Linux 6.7 on to where huge pages stay whole */
		other = mremap(memory, bytes, want, MREMAP_MAYMOVE);
		return other == MAP_FAILED ? NULL : other;
	}
	other = huge_alloc(want);
	if (other && memory) {
		memcpy(other, memory, bytes < want ? bytes : want);
		huge_free(memory, bytes);
	}
	return other;
}

void huge_free(void *memory, size_t bytes)
{
	if (bytes < HUGE_BYTES)
		free(memory);
	else if (memory)
		munmap(memory, bytes);
}
