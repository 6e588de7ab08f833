/* SPDX-License-Identifier: MIT */
#include "memory_resident.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "background.h"
#include "memory_internal.h"

/* So much may stay, and so many small reads are between two looks at how much it is. */
enum { MOST_BYTES = 16 << 20, TICKS = 64 };
/* Behind so many members that left memory, malloc is asked for what it keeps of them. */
enum { MANY_GONE = 50000 };

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

enum { EAV, SAVED, TEXT, MAPPED };

static bool unmap_step(struct memory *m, unsigned of, size_t *at)
{
	switch (of) {
	case EAV:
		return m->eav.store && eav_unmap_step(m->eav.store, at);
	case SAVED:
		return saved_unmap_step(m->saved, at);
	default:
		return ednfile_unmap_step(m->file, at);
	}
}

static void unmap_pages(struct memory *m, unsigned of)
{
	size_t at = 0;

	while (unmap_step(m, of, &at))
		;
}

static bool is_much(struct memory *m)
{
	return mapped_bytes(&m->resident) > MOST_BYTES;
}

/* attention as in background_make_way. */
static void unmap_pages_unheld(struct memory *m, unsigned of, struct attention *attention)
{
	bool more = true;
	size_t at = 0;

	while (more) {
		pthread_rwlock_rdlock(&m->lock);
		more = unmap_step(m, of, &at);
		pthread_rwlock_unlock(&m->lock);
		background_make_way(attention);
	}
}

static void trim(struct memory *m, struct attention *attention)
{
	if (!is_much(m))
		return;
	for (unsigned of = 0; of < MAPPED; of++)
		unmap_pages_unheld(m, of, attention);
}

void memory_resident_trim(struct memory *m)
{
	trim(m, NULL);
}

void memory_resident_trim_background(struct memory *m)
{
	trim(m, &m->attention);
}

void memory_resident_tend(struct memory *m, bool on)
{
	if (on)
		atomic_fetch_add(&m->resident.tended, 1);
	else
		atomic_fetch_sub(&m->resident.tended, 1);
}

static bool is_due(struct memory *m)
{
	unsigned looks;

	if (atomic_load_explicit(&m->resident.tended, memory_order_relaxed))
		return false;
	looks = atomic_fetch_add_explicit(&m->resident.looks, 1, memory_order_relaxed);
	return looks % TICKS == TICKS - 1;
}

void memory_resident_tick(struct memory *m)
{
	if (is_due(m))
		memory_resident_trim(m);
}

void memory_resident_tick_held(struct memory *m)
{
	if (is_due(m) && is_much(m))
		for (unsigned of = 0; of < MAPPED; of++)
			unmap_pages(m, of);
}

void memory_resident_tick_loading(struct memory *m)
{
	if (is_due(m) && is_much(m))
		unmap_pages(m, TEXT);
}

/* How many names left memory. */
static size_t forget(struct memory *m, struct slice path)
{
	const struct tree_node *node = tree_send_away(m->tree, path);

	if (!node)
		return 0;
	ednfile_drop_members(m->file, tree_id(node));
	return node->dir->away_count;
}

void memory_forget(struct memory *m, struct slice paths)
{
	bool many;

	pthread_rwlock_wrlock(&m->lock);
	while (paths.len) {
		struct slice path = slice_of(paths.ptr, strnlen(paths.ptr, paths.len));

		m->resident.gone += forget(m, path);
		if (path.len == paths.len)
			break;
		paths = slice_of(path.ptr + path.len + 1, paths.len - path.len - 1);
	}
	many = m->resident.gone >= MANY_GONE;
	if (many)
		m->resident.gone = 0;
	pthread_rwlock_unlock(&m->lock);
	if (many)
		malloc_trim(0);
	memory_resident_trim(m);
}

void memory_resident_drop(struct memory *m)
{
	pthread_rwlock_wrlock(&m->lock);
	tree_send_unwanted_away(m->tree);
	ednfile_drop_members(m->file, slice_of(NULL, 0));
	pthread_rwlock_unlock(&m->lock);
}

void memory_resident_rest(struct memory *m)
{
	memory_resident_drop(m);
	pthread_rwlock_rdlock(&m->lock);
	if (m->eav.store)
		eav_release_memory(m->eav.store);
	pthread_rwlock_unlock(&m->lock);
	malloc_trim(0);
	memory_resident_trim(m);
}
