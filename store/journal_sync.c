/* SPDX-License-Identifier: MIT */
#include "journal_private.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* With the mutex held. */
static void fail_segment(struct journal *j, size_t at)
{
	struct segment *s = &j->segments[at];

	s->failed = true;
	/* an empty one is written anew before its first record, see journal_append.c */
	if (at + 1 == j->count && s->last >= s->first)
		j->current = false;
}

/* With the mutex held: a segment may have no name on disk. */
static void fail_directory(struct journal *j, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (j->segments[i].last > j->synced)
			fail_segment(j, i);
	j->dir_dirty = true;
}

/* With the mutex held: records may come to the last segment, or one is just coming. */
static bool is_in_use(const struct journal *j)
{
	return j->current || j->appending;
}

/* With the mutex held: nothing more comes, and there is nothing to cut. */
static bool is_finished(const struct journal *j, size_t at)
{
	const struct segment *s = &j->segments[at];

	return !(is_in_use(j) && at + 1 == j->count) && s->size == s->bytes;
}

/* One leader syncs all segments up to now, for everyone who waits. Called with the mutex held. */
static void sync_as_leader(struct journal *j)
{
	uint64_t upto = j->last;
	bool dir_dirty = j->dir_dirty;
	size_t count = j->count;
	int ret = 0;

	j->syncing = true;
	j->dir_dirty = false;
	for (size_t i = 0; i < count; i++) {
		int fd = j->segments[i].fd;
		int failed;

		if (fd < 0)
			continue;
		/* segments are only taken from the list by trim, which waits for us */
		pthread_mutex_unlock(&j->mutex);
		failed = fdatasync(fd) ? -errno : 0;
		pthread_mutex_lock(&j->mutex);
		if (failed)
			fail_segment(j, i);
		ret = ret ? ret : failed;
		if (!ret && is_finished(j, i) && j->segments[i].last <= upto) {
			close(fd);
			j->segments[i].fd = -1;
		}
	}
	pthread_mutex_unlock(&j->mutex);
	if (!ret && dir_dirty && fsync(j->dir_fd))
		ret = -errno;
	else
		dir_dirty &= ret != 0;
	pthread_mutex_lock(&j->mutex);
	if (dir_dirty)
		fail_directory(j, count);
	if (ret)
		j->sync_error = ret;
	else if (j->synced < upto && upto <= j->last)
		j->synced = upto;
	j->syncing = false;
	pthread_cond_broadcast(&j->sync_done);
}

int journal_sync(struct journal *j, uint64_t sequence, struct err *err)
{
	int ret;

	pthread_mutex_lock(&j->mutex);
	while (!j->sync_error && j->synced < sequence && sequence <= j->last) {
		if (j->syncing)
			pthread_cond_wait(&j->sync_done, &j->mutex);
		else
			sync_as_leader(j);
	}
	ret = j->synced < sequence ? j->sync_error : 0;
	pthread_mutex_unlock(&j->mutex);
	return ret ? journal_fail(err, ret, "cannot sync") : 0;
}

static bool has_failed(const struct journal *j)
{
	for (size_t i = 0; i < j->count; i++)
		if (j->segments[i].failed && j->segments[i].last >= j->segments[i].first)
			return true;
	return false;
}

/* The first segment, with the mutex held. */
static int remove_segment(struct journal *j)
{
	char name[JOURNAL_NAME_SIZE];
	bool failed = j->segments[0].failed;

	journal_segment_name(name, j->segments[0].first);
	if (unlinkat(j->dir_fd, name, 0) && errno != ENOENT)
		return -errno;
	/* what nobody can read must not be back after a power loss */
	if (failed && fsync(j->dir_fd))
		return -errno;
	if (j->segments[0].fd >= 0)
		close(j->segments[0].fd);
	j->count--;
	memmove(j->segments, j->segments + 1, j->count * sizeof(*j->segments));
	return 0;
}

static bool is_passed(const struct journal *j, uint64_t watermark)
{
	return j->count > (is_in_use(j) ? 1U : 0U) && j->segments[0].last <= watermark;
}

/* A backup shares the lock. Where there are no locks, it is no worse off than we can help. */
static bool is_held(struct journal *j)
{
	return flock(j->dir_fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
}

int journal_trim(struct journal *j, uint64_t watermark)
{
	int ret = 0;

	pthread_mutex_lock(&j->mutex);
	while (j->syncing)
		pthread_cond_wait(&j->sync_done, &j->mutex);
	if (is_passed(j, watermark) && !is_held(j)) {
		while (!ret && is_passed(j, watermark))
			ret = remove_segment(j);
		flock(j->dir_fd, LOCK_UN);
	}
	/* what is durable elsewhere needs no sync here */
	if (j->synced < watermark && watermark <= j->last)
		j->synced = watermark;
	if (j->sync_error && !has_failed(j))
		j->sync_error = 0;
	pthread_mutex_unlock(&j->mutex);
	return ret;
}
