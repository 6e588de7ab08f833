/* SPDX-License-Identifier: MIT */
#include "memory_resident.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_internal.h"

/* So much may stay, and so many small reads are between two looks at how much it is. */
enum { MOST_BYTES = 32 << 20, TICKS = 512 };

void memory_resident_init(struct resident *resident, int statm_fd)
{
	resident->statm_fd =
		statm_fd > 0 ? statm_fd : open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

void memory_resident_release(struct resident *resident)
{
	if (resident->statm_fd >= 0)
		close(resident->statm_fd);
}

/* Bytes of files. Where they can't be told they are many. */
static size_t mapped_bytes(const struct resident *resident)
{
	char text[128] = "";
	char *at = text;

	if (pread(resident->statm_fd, text, sizeof(text) - 1, 0) <= 0)
		return SIZE_MAX;
	strsep(&at, " "); /* all that is mapped */
	strsep(&at, " "); /* what of it is in memory */
	return at ? strtoull(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : SIZE_MAX;
}

void memory_resident_trim(struct memory *m)
{
	if (mapped_bytes(&m->resident) <= MOST_BYTES)
		return;
	pthread_rwlock_rdlock(&m->lock);
	if (m->eav.store)
		eav_unmap_pages(m->eav.store);
	saved_unmap_pages(m->saved);
	ednfile_unmap_pages(m->file);
	pthread_rwlock_unlock(&m->lock);
}

void memory_resident_tick(struct memory *m)
{
	if (atomic_fetch_add_explicit(&m->resident.looks, 1, memory_order_relaxed) % TICKS ==
		TICKS - 1)
		memory_resident_trim(m);
}

void memory_resident_rest(struct memory *m)
{
	pthread_rwlock_rdlock(&m->lock);
	if (m->eav.store)
		eav_release_memory(m->eav.store);
	pthread_rwlock_unlock(&m->lock);
	malloc_trim(0);
	memory_resident_trim(m);
}
