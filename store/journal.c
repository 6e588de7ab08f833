/* SPDX-License-Identifier: MIT */
#include "journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lock_order.h"
#include "regular.h"

int journal_fail(struct err *err, int code, const char *what)
{
	return err_set(err, code, "journal: %s: %s", what, strerror(-code));
}

int journal_add_segment(struct journal *j, struct segment segment)
{
	if (j->count == j->cap) {
		size_t cap = j->cap ? j->cap * 2 : 8;
		struct segment *grown = reallocarray(j->segments, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		j->segments = grown;
		j->cap = cap;
	}
	j->segments[j->count++] = segment;
	return 0;
}

/* ---- opening ---- */

/* Replayed records are in the kernel, not surely on disk: the first sync includes them. */
static int keep_segment(struct journal *j, const struct journal_segment_info *info)
{
	struct segment s = {.first = info->first,
		.last = info->last,
		.bytes = info->bytes,
		.size = info->bytes,
		.fd = -1};
	char name[JOURNAL_NAME_SIZE];
	int ret;

	journal_segment_name(name, s.first);
	s.fd = regular_open(j->dir_fd, name, O_RDONLY);
	if (s.fd < 0)
		return s.fd;
	ret = journal_add_segment(j, s);
	if (ret)
		close(s.fd);
	return ret;
}

/* May the segment that begins with first come now? Segments that all stores have passed may be missing. */
static int check_order(const struct journal_scan *scan, uint64_t first, struct err *err)
{
	uint64_t due = scan->last > scan->watermark ? scan->last : scan->watermark;

	if (first > due + 1)
		return err_set(err, -EBADMSG,
			"journal: records %" PRIu64 " to %" PRIu64 " are missing", due + 1,
			first - 1);
	if (first <= scan->last)
		return err_set(err, -EBADMSG,
			"journal/%016" PRIx64 ".log:0: records that another segment has, too",
			first);
	return 0;
}

static int scan_all(struct journal_scan *scan, struct journal *keep, struct err *err)
{
	struct journal_segment_info info;
	uint64_t *firsts;
	size_t count, whole;
	int ret;

	ret = journal_list(scan->journal_fd, &firsts, &count, &whole, err);
	for (size_t i = 0; i < count && !ret; i++) {
		if (i < whole)
			ret = check_order(scan, firsts[i], err);
		if (!ret)
			ret = journal_scan_segment(scan, firsts[i], i + 1 >= whole, &info, err);
		if (ret || !keep || !info.bytes)
			continue;
		ret = keep_segment(keep, &info);
		if (ret)
			err_set(err, ret, "cannot keep a segment: %s", strerror(-ret));
	}
	free(firsts);
	return ret;
}

int journal_open_dir(int dir_fd, bool make, struct err *err)
{
	int ret = 0;
	int fd;

	if (make && mkdirat(dir_fd, "journal", 0700) == 0)
		ret = fsync(dir_fd) ? -errno : 0;
	else if (make && errno != EEXIST)
		ret = -errno;
	fd = ret ? ret : openat(dir_fd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (!ret && fd < 0)
		ret = fd = -errno;
	if (ret)
		err_set(err, ret, "cannot open the journal: %s", strerror(-ret));
	return fd;
}

int journal_open(struct journal **journal, int dir_fd, uint64_t watermark,
	journal_replay_fn *replay, void *context, struct err *err)
{
	struct journal *j = calloc(1, sizeof(*j));
	struct journal_scan scan = {
		.repair = true, .watermark = watermark, .replay = replay, .context = context};
	int ret;

	if (!j)
		return err_set(err, -ENOMEM, "out of memory");
	mutex_init(&j->mutex, LOCK_JOURNAL);
	pthread_cond_init(&j->sync_done, NULL);
	j->dir_fd = journal_open_dir(dir_fd, true, err);
	ret = j->dir_fd < 0 ? j->dir_fd : 0;
	scan.journal_fd = j->dir_fd;
	if (!ret)
		ret = scan_all(&scan, j, err);
	if (ret) {
		journal_close(j);
		return ret;
	}
	j->last = scan.last > watermark ? scan.last : watermark;
	j->synced = watermark;
	j->dir_dirty = true;
	*journal = j;
	return 0;
}

int journal_replay_only(int dir_fd, uint64_t watermark, journal_replay_fn *replay, void *context,
	struct err *err)
{
	struct journal_scan scan = {.watermark = watermark, .replay = replay, .context = context};
	int ret;

	scan.journal_fd = journal_open_dir(dir_fd, false, err);
	if (scan.journal_fd == -ENOENT)
		return 0;
	if (scan.journal_fd < 0)
		return scan.journal_fd;
	ret = scan_all(&scan, NULL, err);
	close(scan.journal_fd);
	return ret;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	journal_give_room_back(j);
	for (size_t i = 0; i < j->count; i++) {
		if (j->segments[i].fd >= 0)
			close(j->segments[i].fd);
	}
	free(j->segments);
	if (j->dir_fd >= 0)
		close(j->dir_fd);
	pthread_cond_destroy(&j->sync_done);
	pthread_mutex_destroy(&j->mutex);
	free(j);
}

/* ---- what there is ---- */

uint64_t journal_last(const struct journal *j)
{
	return j->last;
}

uint64_t journal_bytes(struct journal *j)
{
	uint64_t bytes = 0;

	pthread_mutex_lock(&j->mutex);
	for (size_t i = 0; i < j->count; i++)
		bytes += j->segments[i].bytes;
	pthread_mutex_unlock(&j->mutex);
	return bytes;
}
