/* SPDX-License-Identifier: MIT */
#include "ednfile_index.h"
#include "ednfile_private.h"
#include "pread_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "monotonic.h"

/*
 * Reading a file that someone else may be writing at this moment, in place, truncated first. What
 * was read is taken only when the file stood still meanwhile and is whole.
 */

enum {
	SETTLE_MS = 2000,   /* no byte changed for so long: it is broken, not half written */
	GIVE_UP_TIMES = 15, /* settle times in all, for a file that never stands still */
	POLL_MS = 10,
	TICK_MS = 20, /* more than a kernel's tick (1..10); a server's clock may be far ahead */
};

static void sleep_ms(int64_t ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

struct ednfile_identity ednfile_identity_of(const struct stat *st)
{
	return (struct ednfile_identity){
		.exists = true,
		.owner = {true, st->st_uid, st->st_gid, st->st_mode & 07777},
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_identity(const struct ednfile_identity *a, const struct ednfile_identity *b)
{
	if (!a->exists || !b->exists)
		return a->exists == b->exists;
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       same_time(a->mtime, b->mtime) && same_time(a->ctime, b->ctime);
}

static struct ednfile_identity look(const char *path)
{
	struct ednfile_identity none = {.exists = false};
	struct stat st;

	return stat(path, &st) ? none : ednfile_identity_of(&st);
}

bool ednfile_changed_outside(const struct ednfile *file)
{
	struct ednfile_identity now = look(file->path);
	struct ednfile_identity known;

	pthread_mutex_lock((pthread_mutex_t *)&file->lock);
	known = file->identity;
	pthread_mutex_unlock((pthread_mutex_t *)&file->lock);
	return !same_identity(&now, &known);
}

static int open_regular(const struct ednfile *file, struct stat *st, struct err *err)
{
	/* O_NONBLOCK: a FIFO must not hold us up. */
	int fd = open(file->target,
		O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (file->follow ? 0 : O_NOFOLLOW));
	int ret;

	if (fd < 0) {
		ret = -errno;
		return err_set(err, ret, "opening it: %s", strerror(-ret));
	}
	if (fstat(fd, st))
		ret = err_set(err, -errno, "looking at it: %s", strerror(errno));
	else if (!S_ISREG(st->st_mode))
		ret = err_set(err, -EINVAL, "not a regular file");
	else if ((uint64_t)st->st_size >= UINT32_MAX)
		ret = err_set(err, -EOVERFLOW, "larger than 4 GiB");
	else
		return fd;
	close(fd);
	return ret;
}

/*
 * The kernel stamps a change with a clock that ticks; a filesystem of more exact stamps is never behind it. Until it is
 * past the file's stamp a change might leave no trace, whatever is looked at before and after reading.
 */
static bool is_fresh(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now.tv_sec < st->st_ctim.tv_sec ||
	       (now.tv_sec == st->st_ctim.tv_sec && now.tv_nsec <= st->st_ctim.tv_nsec);
}

static void wait_tick(const struct stat *st)
{
	for (int64_t waited_ms = 0; waited_ms < TICK_MS && is_fresh(st); waited_ms++)
		sleep_ms(1);
}

/* What is read of one state of the file. */
struct reading {
	struct ednblock *block;
	struct ednfile_identity identity;
	struct ednindex *index; /* NULL: there is none of such a text */
	uint64_t mark;
};

static void reading_release(struct ednfile *file, struct reading *reading)
{
	ednblock_drop(&file->pool, reading->block);
	ednindex_free(reading->index);
	reading->block = NULL;
	reading->index = NULL;
}

struct half {
	int fd;
	char *to;
	size_t at, most;
	ssize_t len;
};

static void *read_half(void *context)
{
	struct half *half = context;

	half->len = pread_all(half->fd, half->to, half->most, half->at);
	return NULL;
}

static void hash_block(struct reading *reading, size_t at, size_t len)
{
	if (reading->index && len)
		reading->mark = ednindex_hash(reading->mark, reading->block->bytes + at, len);
}

/* Hashes the blocks while they are in the processor's cache. */
static ssize_t read_first(int fd, struct reading *reading, size_t most)
{
	size_t at = 0;
	ssize_t got = EDNINDEX_BLOCK;

	while (got == EDNINDEX_BLOCK) {
		size_t left = most - at;

		got = pread_all(fd, reading->block->bytes + at,
			left < EDNINDEX_BLOCK ? left : EDNINDEX_BLOCK, at);
		if (got < 0)
			return got;
		hash_block(reading, at, (size_t)got);
		at += (size_t)got;
	}
	return (ssize_t)at;
}

/* As pread_all() from the beginning. Half of the time goes to the memory's first use: another thread can have a part of it. */
static ssize_t read_text(int fd, struct reading *reading, size_t most)
{
	size_t at = most / 2 / EDNINDEX_BLOCK * EDNINDEX_BLOCK;
	struct half half = {
		.fd = fd, .to = reading->block->bytes + at, .at = at, .most = most - at};
	pthread_t thread;
	ssize_t len;

	if (reading->index)
		reading->mark = ednindex_mark(reading->index);
	if (!ednmap_in_halves(most) || pthread_create(&thread, NULL, read_half, &half))
		return read_first(fd, reading, most);
	len = read_first(fd, reading, at);
	pthread_join(thread, NULL);
	if (len < 0 || (size_t)len < at) /* or it was cut meanwhile */
		return len;
	for (ssize_t done = 0; done < half.len; done += EDNINDEX_BLOCK) {
		ssize_t left = half.len - done;

		hash_block(reading, at + (size_t)done,
			left < EDNINDEX_BLOCK ? (size_t)left : EDNINDEX_BLOCK);
	}
	return half.len < 0 ? half.len : len + half.len;
}

/* The whole of one state of the file. -EAGAIN: it changed meanwhile. */
static int read_once(struct ednfile *file, struct reading *reading, struct err *err)
{
	struct ednfile_identity after;
	struct stat st;
	ssize_t len;
	int ret;
	int fd = open_regular(file, &st, err);

	if (fd < 0)
		return fd;
	wait_tick(&st);
	reading->identity = ednfile_identity_of(&st);
	if (file->index_dir >= 0)
		reading->index = ednindex_load(file->index_dir, (uint64_t)st.st_size);
	reading->block = ednblock_new(&file->pool, (size_t)st.st_size + 1);
	len = reading->block ? read_text(fd, reading, (size_t)st.st_size + 1) : -ENOMEM;
	ret = len < 0 ? (int)len : 0;
	if (!ret && fstat(fd, &st))
		ret = -errno;
	close(fd);
	if (ret) {
		err_set(err, ret, "reading it: %s", strerror(-ret));
	} else {
		after = ednfile_identity_of(&st);
		if (!same_identity(&reading->identity, &after) ||
			(uint64_t)len != reading->identity.size)
			ret = err_set(err, -EAGAIN, "it is being written all the time");
		else
			ednblock_trim(&file->pool, reading->block, (size_t)len);
	}
	return ret;
}

int ednfile_load_empty(struct ednfile *file, struct err *err)
{
	file->identity = (struct ednfile_identity){.owner = {.mode = 0600}};
	return ednmap_read(&file->map, &file->pool, SLICE_LITERAL("{}\n"), 0, err);
}

/* By the index that was kept, or else by a scan. */
static int index_text(struct ednfile *file, struct reading *reading, struct err *err)
{
	struct slice text = slice_of(reading->block->bytes, reading->block->size);
	bool known = reading->index && ednindex_is_of(reading->index, reading->mark);
	int ret = known ? ednindex_read(reading->index, &file->map, &file->pool, text) : -EBADMSG;

	if (!ret) {
		file->indexed = reading->block;
		file->indexed_hash = ednindex_text_hash(reading->index);
	} else if (ret == -EBADMSG) {
		ret = ednmap_read(&file->map, &file->pool, text, 0, err);
	}
	if (ret == -EBADMSG && !text.len && err)
		snprintf(err->text, sizeof(err->text),
			"the file is empty, and a memory of nothing is {}");
	if (ret)
		return ret;
	file->map.image = reading->block;
	reading->block = NULL;
	return 0;
}

static int load_once(struct ednfile *file, struct ednfile_identity *identity, struct err *err)
{
	struct reading reading = {.block = NULL};
	int ret = read_once(file, &reading, err);

	*identity = reading.identity;

	if (ret == -ENOENT) {
		if (err)
			*err = (struct err){0}; /* this is no failure */
		ret = ednfile_load_empty(file, err);
		*identity = file->identity;
		return ret;
	}
	if (!ret)
		ret = index_text(file, &reading, err);
	reading_release(file, &reading);
	return ret;
}

/* Waits for a change of what was read; false when there was none for the settle time. */
static bool wait_change(struct ednfile *file, const struct ednfile_identity *seen, int64_t until)
{
	int64_t start = monotonic_ms();
	bool changed;

	for (;;) {
		struct ednfile_identity now = look(file->target);

		changed = !same_identity(&now, seen);
		if (changed || monotonic_ms() >= until)
			break;
		sleep_ms(POLL_MS);
	}
	file->waited_ms += monotonic_ms() - start;
	return changed;
}

int ednfile_load(struct ednfile *file, struct err *err)
{
	int64_t settle_ms = file->settle_ms ? file->settle_ms : SETTLE_MS;
	int64_t give_up = monotonic_ms() + GIVE_UP_TIMES * settle_ms;
	struct ednfile_identity identity;
	int ret;

	for (;;) {
		int64_t start;

		ret = load_once(file, &identity, err);
		start = monotonic_ms();
		if ((ret != -EBADMSG && ret != -EAGAIN) || start >= give_up)
			break;
		if (ret == -EBADMSG && !wait_change(file, &identity, start + settle_ms))
			break;
	}
	if (!ret || ret == -EBADMSG)
		file->identity = identity;
	return ret;
}
