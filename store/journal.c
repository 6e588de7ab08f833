/* SPDX-License-Identifier: MIT */
#include "journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int add_segment(struct journal *j, struct segment segment)
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
	struct segment s = {info->first, info->last, info->bytes, -1};
	char name[JOURNAL_NAME_SIZE];
	int ret;

	journal_segment_name(name, s.first);
	s.fd = openat(j->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (s.fd < 0)
		return -errno;
	ret = add_segment(j, s);
	if (ret)
		close(s.fd);
	return ret;
}

static int scan_all(struct journal_scan *scan, struct journal *keep, struct err *err)
{
	struct journal_segment_info info;
	uint64_t *firsts;
	size_t count;
	int ret;

	ret = journal_list(scan->journal_fd, &firsts, &count, err);
	for (size_t i = 0; i < count && !ret; i++) {
		uint64_t due = scan->last > scan->watermark ? scan->last : scan->watermark;

		if (firsts[i] > due + 1)
			ret = err_set(err, -EBADMSG,
				"journal: records %" PRIu64 " to %" PRIu64 " are missing", due + 1,
				firsts[i] - 1);
		if (!ret)
			ret = journal_scan_segment(scan, firsts[i], i + 1 == count, &info, err);
		if (ret || !keep || !info.bytes)
			continue;
		ret = keep_segment(keep, &info);
		if (ret)
			err_set(err, ret, "cannot keep a segment: %s", strerror(-ret));
	}
	free(firsts);
	return ret;
}

static int open_dir(int dir_fd, bool make, struct err *err)
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
	pthread_mutex_init(&j->mutex, NULL);
	pthread_cond_init(&j->sync_done, NULL);
	j->dir_fd = open_dir(dir_fd, true, err);
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

	scan.journal_fd = open_dir(dir_fd, false, err);
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

/* ---- appending ---- */

int journal_fail(struct err *err, int code, const char *what)
{
	return err_set(err, code, "journal: %s: %s", what, strerror(-code));
}

static int write_all(int fd, struct slice head, struct slice payload, uint64_t offset)
{
	struct iovec parts[2] = {{(void *)(uintptr_t)head.ptr, head.len},
		{(void *)(uintptr_t)payload.ptr, payload.len}};
	struct iovec *at = parts;

	while (at < parts + 2) {
		ssize_t n = pwritev(fd, at, (int)(parts + 2 - at), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		offset += (uint64_t)n;
		while (at < parts + 2 && (size_t)n >= at->iov_len)
			n -= (ssize_t)(at++)->iov_len;
		if (at < parts + 2) {
			at->iov_base = (char *)at->iov_base + n;
			at->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* Makes the segment that the next record opens. */
static int start_segment(struct journal *j)
{
	struct segment s = {.first = j->last + 1, .last = j->last, .bytes = JOURNAL_HEADER_BYTES};
	char header[JOURNAL_HEADER_BYTES];
	char name[JOURNAL_NAME_SIZE];
	int ret;

	journal_segment_name(name, s.first);
	s.fd = openat(j->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s.fd < 0)
		return -errno;
	journal_encode_header(header, s.first);
	ret = write_all(s.fd, slice_of(header, sizeof(header)), slice_of(NULL, 0), 0);
	pthread_mutex_lock(&j->mutex);
	if (!ret)
		ret = add_segment(j, s);
	if (!ret) {
		j->current = true;
		j->dir_dirty = true;
	}
	pthread_mutex_unlock(&j->mutex);
	if (ret) {
		close(s.fd);
		unlinkat(j->dir_fd, name, 0);
	}
	j->torn = false;
	return ret;
}

/* The segment that takes the next record, by value: only its writer changes it. */
static int current_segment(struct journal *j, struct segment *s)
{
	int ret;

	if (!j->current) {
		ret = start_segment(j);
		if (ret)
			return ret;
	}
	pthread_mutex_lock(&j->mutex);
	*s = j->segments[j->count - 1];
	pthread_mutex_unlock(&j->mutex);
	if (j->torn && ftruncate(s->fd, (off_t)s->bytes))
		return -errno;
	j->torn = false;
	return 0;
}

int journal_append(struct journal *j, struct timespec now, struct slice payload, uint64_t *sequence,
	struct err *err)
{
	struct journal_record record = {.sequence = j->last + 1, .time = now, .payload = payload};
	char head[JOURNAL_RECORD_BYTES];
	struct segment s;
	int ret;

	if (payload.len > JOURNAL_PAYLOAD_MAX)
		return journal_fail(err, -EFBIG, "a change is too large");
	ret = current_segment(j, &s);
	if (ret)
		return journal_fail(err, ret, "cannot start a segment");
	journal_encode_record(head, &record);
	ret = write_all(s.fd, slice_of(head, sizeof(head)), payload, s.bytes);
	if (ret) {
		j->torn = ftruncate(s.fd, (off_t)s.bytes) != 0;
		return journal_fail(err, ret, "cannot append");
	}
	j->last_start = s.bytes;
	pthread_mutex_lock(&j->mutex);
	j->segments[j->count - 1].bytes = s.bytes + sizeof(head) + payload.len;
	j->segments[j->count - 1].last = record.sequence;
	j->last = record.sequence;
	pthread_mutex_unlock(&j->mutex);
	*sequence = record.sequence;
	return 0;
}

int journal_retract(struct journal *j)
{
	struct segment *s;
	int ret = 0;

	pthread_mutex_lock(&j->mutex);
	s = &j->segments[j->count - 1];
	if (ftruncate(s->fd, (off_t)j->last_start)) {
		ret = -errno;
	} else {
		s->bytes = j->last_start;
		s->last--;
		j->last--;
		if (j->synced > j->last)
			j->synced = j->last;
	}
	pthread_mutex_unlock(&j->mutex);
	return ret;
}

int journal_rotate(struct journal *j)
{
	pthread_mutex_lock(&j->mutex);
	/* the next one is made by the next record; an empty one keeps its turn */
	if (j->current && j->segments[j->count - 1].last >= j->segments[j->count - 1].first)
		j->current = false;
	pthread_mutex_unlock(&j->mutex);
	return 0;
}

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
