/* SPDX-License-Identifier: MIT */
#include "journal_private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

		if (fd < 0)
			continue;
		/* segments are only taken from the list by trim, which waits for us */
		pthread_mutex_unlock(&j->mutex);
		if (fdatasync(fd) && !ret)
			ret = -errno;
		pthread_mutex_lock(&j->mutex);
		if (!ret && !(j->current && i + 1 == j->count) && j->segments[i].last <= upto) {
			close(fd);
			j->segments[i].fd = -1;
		}
	}
	pthread_mutex_unlock(&j->mutex);
	if (!ret && dir_dirty && fsync(j->dir_fd))
		ret = -errno;
	pthread_mutex_lock(&j->mutex);
	if (ret) {
		j->sync_error = ret;
		j->failed_last = upto;
		j->dir_dirty |= dir_dirty;
	} else if (j->synced < upto && upto <= j->last) {
		j->synced = upto;
	}
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

int journal_trim(struct journal *j, uint64_t watermark)
{
	char name[JOURNAL_NAME_SIZE];
	int ret = 0;

	pthread_mutex_lock(&j->mutex);
	while (j->syncing)
		pthread_cond_wait(&j->sync_done, &j->mutex);
	while (j->count > (j->current ? 1U : 0U) && j->segments[0].last <= watermark) {
		journal_segment_name(name, j->segments[0].first);
		if (unlinkat(j->dir_fd, name, 0) && errno != ENOENT) {
			ret = -errno;
			break;
		}
		if (j->segments[0].fd >= 0)
			close(j->segments[0].fd);
		j->count--;
		memmove(j->segments, j->segments + 1, j->count * sizeof(*j->segments));
	}
	/* what is durable elsewhere needs no sync here */
	if (j->synced < watermark && watermark <= j->last)
		j->synced = watermark;
	if (j->sync_error && j->failed_last <= watermark)
		j->sync_error = 0;
	pthread_mutex_unlock(&j->mutex);
	return ret;
}
