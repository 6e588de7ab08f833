/* SPDX-License-Identifier: MIT */
#include "journal_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

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

static int write_header(const struct segment *s)
{
	char header[JOURNAL_HEADER_BYTES];

	journal_encode_header(header, s->first);
	return write_all(s->fd, slice_of(header, sizeof(header)), slice_of(NULL, 0), 0);
}

/* Makes the segment that the next record opens. */
static int start_segment(struct journal *j)
{
	struct segment s = {.first = j->last + 1,
		.last = j->last,
		.bytes = JOURNAL_HEADER_BYTES,
		.size = JOURNAL_HEADER_BYTES};
	char name[JOURNAL_NAME_SIZE];
	int ret;

	journal_segment_name(name, s.first);
	/* one of this name is what could not be removed below: no record has its number yet */
	s.fd = openat(j->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s.fd < 0)
		return -errno;
	ret = write_header(&s);
	j->roomless = false;
	pthread_mutex_lock(&j->mutex);
	if (!ret)
		ret = journal_add_segment(j, s);
	if (!ret) {
		j->current = true;
		j->dir_dirty = true;
	}
	pthread_mutex_unlock(&j->mutex);
	if (ret) {
		close(s.fd);
		unlinkat(j->dir_fd, name, 0);
	}
	return ret;
}

/* By value: only the writer changes it, but a trim moves it. */
static struct segment last_segment(struct journal *j)
{
	struct segment s;

	pthread_mutex_lock(&j->mutex);
	s = j->segments[j->count - 1];
	pthread_mutex_unlock(&j->mutex);
	return s;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void note_size(struct journal *j, uint64_t size)
{
	pthread_mutex_lock(&j->mutex);
	j->segments[j->count - 1].size = size;
	pthread_mutex_unlock(&j->mutex);
}

/* Cuts what a failed append left, and room: behind a segment's end there must be nothing once another follows. */
static int cut_rest(struct journal *j)
{
	struct segment *s;
	int ret = 0;

	pthread_mutex_lock(&j->mutex);
	s = j->count ? &j->segments[j->count - 1] : NULL;
	if (s && (s->size != s->bytes || j->torn)) {
		ret = ftruncate(s->fd, (off_t)s->bytes) ? -errno : 0;
		if (!ret) {
			s->size = s->bytes;
			j->torn = false;
		}
	}
	pthread_mutex_unlock(&j->mutex);
	return ret;
}

/* Where a disk has none, or can't, the file grows by what is written. */
static void take_room(struct journal *j, struct segment *s, uint64_t bytes)
{
	uint64_t end = s->bytes + bytes;
	uint64_t size = (end + JOURNAL_ROOM_BYTES - 1) / JOURNAL_ROOM_BYTES * JOURNAL_ROOM_BYTES;

	if (end <= s->size || j->roomless)
		return;
	j->roomless = fallocate(s->fd, 0, (off_t)s->size, (off_t)(size - s->size)) != 0;
	/* a part of it may be there */
	if (j->roomless && ftruncate(s->fd, (off_t)s->size) == 0)
		return;
	s->size = size;
	note_size(j, size);
}

static bool is_current(struct journal *j, struct segment *s)
{
	bool current;

	pthread_mutex_lock(&j->mutex);
	current = j->current;
	if (current)
		*s = j->segments[j->count - 1];
	pthread_mutex_unlock(&j->mutex);
	return current;
}

/* A sync of a segment that holds no record yet failed: all of it is to be written once more. */
static int write_anew(struct journal *j, struct segment *s)
{
	int ret = ftruncate(s->fd, 0) ? -errno : write_header(s);

	if (ret)
		return ret;
	pthread_mutex_lock(&j->mutex);
	s->failed = j->segments[j->count - 1].failed = false;
	s->size = j->segments[j->count - 1].size = s->bytes;
	pthread_mutex_unlock(&j->mutex);
	return 0;
}

static bool has_place(const struct segment *s, uint64_t bytes, bool ordered)
{
	return s->bytes + bytes <= JOURNAL_SEGMENT_BYTES && !(ordered && s->size > s->bytes);
}

static int pick_segment(struct journal *j, uint64_t bytes, bool ordered, struct segment *s)
{
	int ret;

	if (is_current(j, s)) {
		if (s->last < s->first)
			return s->failed ? write_anew(j, s) : 0;
		if (has_place(s, bytes, ordered))
			return 0;
	}
	/* room that can't be cut off does no harm */
	cut_rest(j);
	ret = start_segment(j);
	if (!ret)
		*s = last_segment(j);
	return ret;
}

/* The segment that takes the next record, of so many bytes. */
static int current_segment(struct journal *j, uint64_t bytes, struct segment *s)
{
	bool ordered = atomic_load(&j->ordered);
	int ret = j->torn ? cut_rest(j) : 0;

	if (!ret)
		ret = pick_segment(j, bytes, ordered, s);
	/* Who asks again meanwhile has it: from here on this segment grows, and a later one is made later. */
	if (!ret && ordered) {
		j->roomless = true;
		atomic_store(&j->ordered, false);
	}
	return ret;
}

void journal_barrier(struct journal *j)
{
	atomic_store(&j->ordered, true);
}

/* What of it was written goes, now or before anything else is. */
static void undo_append(struct journal *j, const struct segment *s, uint64_t bytes)
{
	j->torn = ftruncate(s->fd, (off_t)s->bytes) != 0;
	note_size(j, j->torn ? larger(s->size, s->bytes + bytes) : s->bytes);
}

static int append(struct journal *j, const struct journal_record *record, struct err *err)
{
	char head[JOURNAL_RECORD_BYTES];
	uint64_t bytes = sizeof(head) + record->payload.len;
	struct segment s, *last;
	int ret;

	ret = current_segment(j, bytes, &s);
	if (ret)
		return journal_fail(err, ret, "cannot start a segment");
	take_room(j, &s, bytes);
	journal_encode_record(head, record);
	ret = write_all(s.fd, slice_of(head, sizeof(head)), record->payload, s.bytes);
	if (ret) {
		undo_append(j, &s, bytes);
		return journal_fail(err, ret, "cannot append");
	}
	j->last_start = s.bytes;
	pthread_mutex_lock(&j->mutex);
	last = &j->segments[j->count - 1];
	last->bytes = s.bytes + bytes;
	last->size = larger(s.size, last->bytes);
	last->last = record->sequence;
	j->last = record->sequence;
	pthread_mutex_unlock(&j->mutex);
	return 0;
}

/* While it does, a trim leaves the last segment, also where a sync of it has failed. */
static void set_appending(struct journal *j, bool appending)
{
	pthread_mutex_lock(&j->mutex);
	j->appending = appending;
	pthread_mutex_unlock(&j->mutex);
}

int journal_append(struct journal *j, struct timespec now, enum journal_kind kind,
	struct slice payload, uint64_t *sequence, struct err *err)
{
	struct journal_record record = {
		.sequence = j->last + 1, .time = now, .kind = kind, .payload = payload};
	int ret;

	assert(kind != JOURNAL_LOST);
	if (payload.len > JOURNAL_PAYLOAD_MAX)
		return journal_fail(err, -EFBIG, "a change is too large");
	set_appending(j, true);
	ret = append(j, &record, err);
	set_appending(j, false);
	if (!ret)
		*sequence = record.sequence;
	return ret;
}

int journal_retract(struct journal *j)
{
	struct segment *s;
	int ret = 0;

	pthread_mutex_lock(&j->mutex);
	/* a sync under way would count the next record, of the same number, among what it has synced */
	while (j->syncing)
		pthread_cond_wait(&j->sync_done, &j->mutex);
	s = &j->segments[j->count - 1];
	if (ftruncate(s->fd, (off_t)j->last_start)) {
		ret = -errno;
	} else {
		s->bytes = s->size = j->last_start;
		s->last--;
		j->last--;
		/* the next record has the name of an empty one */
		j->current |= s->last < s->first;
		if (j->synced > j->last)
			j->synced = j->last;
	}
	pthread_mutex_unlock(&j->mutex);
	return ret;
}

/* Best effort: a reader takes room for what it is. */
void journal_give_room_back(struct journal *j)
{
	if (j->current)
		cut_rest(j);
}

int journal_rotate(struct journal *j)
{
	int ret = cut_rest(j);

	if (ret)
		return ret;
	pthread_mutex_lock(&j->mutex);
	/* the next one is made by the next record; an empty one keeps its turn */
	if (j->current && j->segments[j->count - 1].last >= j->segments[j->count - 1].first)
		j->current = false;
	pthread_mutex_unlock(&j->mutex);
	return 0;
}
