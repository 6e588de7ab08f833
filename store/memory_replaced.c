/* SPDX-License-Identifier: MIT */
#include "memory_rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watch.h"
#include "monotonic.h"

enum { KEEP_MS = 2000, KEEP_UNKNOWN_MS = 10000, AGAIN_MS = 1000 };

static void drop(struct memory *m, unsigned i)
{
	struct work *w = &m->work;

	if (w->watch && w->replaced[i].watch >= 0)
		watch_drop(w->watch, w->replaced[i].watch);
	close(w->replaced[i].file.fd);
	memmove(&w->replaced[i], &w->replaced[i + 1],
		(--w->replaced_count - i) * sizeof(w->replaced[0]));
}

void replaced_add(struct memory *m, const struct ednfile_replaced *file)
{
	struct work *w = &m->work;
	int watch = w->watch ? watch_inode(w->watch, file->fd) : -1;

	if (w->replaced_count == REPLACED_MAX)
		drop(m, 0);
	w->replaced[w->replaced_count++] = (struct replaced){*file, watch, monotonic_ms()};
}

static bool has_changed(const struct replaced *r, struct stat *st)
{
	return fstat(r->file.fd, st) == 0 && ((uint64_t)st->st_size != r->file.size ||
						     st->st_mtim.tv_sec != r->file.mtime.tv_sec ||
						     st->st_mtim.tv_nsec != r->file.mtime.tv_nsec);
}

/* A lease for reading is not to be had while anyone has the file open for writing. */
static bool may_go(const struct replaced *r, int64_t now)
{
	int64_t age = now - r->since_ms;

	if (age < KEEP_MS)
		return false;
	if (fcntl(r->file.fd, F_SETLEASE, F_RDLCK) == 0) {
		fcntl(r->file.fd, F_SETLEASE, F_UNLCK);
		return true;
	}
	return errno != EAGAIN && age >= KEEP_UNKNOWN_MS;
}

static int merge_one(struct memory *m, struct replaced *r, const struct stat *st, struct err *err)
{
	char path[64];
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->file.fd);
	ret = memory_merge(m, path, err);
	/* its writer died half-way: what it wanted nobody knows */
	if (ret == -EBADMSG || ret == -EAGAIN) {
		*err = (struct err){0};
		ret = 0;
	}
	if (!ret) {
		r->file.size = (uint64_t)st->st_size;
		r->file.mtime = st->st_mtim;
	}
	return ret;
}

int replaced_look(struct memory *m, struct err *err)
{
	struct work *w = &m->work;
	int ret = 0;

	for (unsigned i = 0; i < w->replaced_count && !ret;) {
		struct replaced *r = &w->replaced[i];
		struct stat st;

		if (has_changed(r, &st))
			ret = merge_one(m, r, &st, err);
		else if (may_go(r, monotonic_ms()))
			drop(m, i);
		else
			i++;
	}
	return ret;
}

int64_t replaced_next_ms(const struct memory *m)
{
	int64_t now = monotonic_ms();
	int64_t next = 0;

	for (unsigned i = 0; i < m->work.replaced_count; i++) {
		int64_t due = m->work.replaced[i].since_ms + KEEP_MS;

		if (due <= now)
			due = now + AGAIN_MS;
		if (!next || due < next)
			next = due;
	}
	return next;
}

void replaced_release(struct memory *m)
{
	while (m->work.replaced_count)
		drop(m, m->work.replaced_count - 1);
}
