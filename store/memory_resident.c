/* SPDX-License-Identifier: MIT */
#include "memory_resident.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "background.h"
#include "memory_internal.h"

/*
 * So much may stay mapped behind long work, and at any time; and while small reads come, as much as there is room for
 * beside what is the process's own: what was mapped once is read without a page fault, which can cost more than the
 * read. So many such reads are between two looks, and so much goes then: all at once, and those pages would be gone that
 * each read meets.
 */
enum { LEAST_BYTES = 16 << 20, WHOLE_BYTES = 96 << 20, SWEEP_BYTES = 24 << 20, TICKS = 32 };
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

/* Bytes in memory: of files, and of all. Where they can't be told they are many. */
struct usage {
	size_t mapped, whole;
};

static struct usage usage_now(const struct resident *resident)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char text[128] = "";
	char *whole = NULL;
	char *mapped = NULL;

	/* all that is mapped, what of it is in memory, what of that is of files */
	if (pread(resident->statm_fd, text, sizeof(text) - 1, 0) > 0)
		whole = strchr(text, ' ');
	if (whole)
		mapped = strchr(whole + 1, ' ');
	if (!mapped)
		return (struct usage){SIZE_MAX, SIZE_MAX};
	return (struct usage){strtoull(mapped, NULL, 10) * page, strtoull(whole, NULL, 10) * page};
}

static size_t room(struct usage usage)
{
	size_t own = usage.whole - usage.mapped;

	return own + LEAST_BYTES < WHOLE_BYTES ? WHOLE_BYTES - own : LEAST_BYTES;
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

static bool unmap_step_unheld(struct memory *m, unsigned of, size_t *at)
{
	bool more;

	pthread_rwlock_rdlock(&m->lock);
	more = unmap_step(m, of, at);
	pthread_rwlock_unlock(&m->lock);
	return more;
}

typedef bool step_fn(struct memory *m, unsigned of, size_t *at);

/* From where the last one ended. One thread's at a time: who comes meanwhile has no need to. */
static void sweep(struct memory *m, step_fn *step)
{
	struct resident *resident = &m->resident;
	struct usage usage = usage_now(resident);
	size_t most = room(usage);
	size_t enough = most > SWEEP_BYTES ? most - SWEEP_BYTES : 0;

	if (usage.mapped <= most || atomic_flag_test_and_set(&resident->sweeping))
		return;
	/* once around, at most */
	for (unsigned ends = 0; ends <= MAPPED && usage.mapped > enough;) {
		if (!step(m, resident->hand, &resident->hand_at)) {
			resident->hand = (resident->hand + 1) % MAPPED;
			resident->hand_at = 0;
			ends++;
		}
		usage = usage_now(resident);
	}
	atomic_flag_clear(&resident->sweeping);
}

/* attention as in background_make_way. */
static void trim(struct memory *m, struct attention *attention)
{
	if (usage_now(&m->resident).mapped <= LEAST_BYTES)
		return;
	for (unsigned of = 0; of < MAPPED; of++) {
		size_t at = 0;

		while (unmap_step_unheld(m, of, &at))
			background_make_way(attention);
		background_make_way(attention);
	}
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
		sweep(m, unmap_step_unheld);
}

void memory_resident_tick_held(struct memory *m)
{
	if (is_due(m))
		sweep(m, unmap_step);
}

void memory_resident_tick_loading(struct memory *m)
{
	struct usage usage;
	size_t at = 0;

	if (!is_due(m))
		return;
	usage = usage_now(&m->resident);
	if (usage.mapped > room(usage))
		while (unmap_step(m, TEXT, &at))
			;
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
	while (paths.len)
		m->resident.gone += forget(m, slice_cut_string(&paths));
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
