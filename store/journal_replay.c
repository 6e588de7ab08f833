/* SPDX-License-Identifier: MIT */
#include "journal_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"

enum { CHECKSUM_AT = 32 };

static void put32(char *at, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char)(n >> (8 * i));
}

static void put64(char *at, uint64_t n)
{
	put32(at, (uint32_t)n);
	put32(at + 4, (uint32_t)(n >> 32));
}

static uint32_t get32(const char *at)
{
	const unsigned char *b = (const unsigned char *)at;

	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint64_t get64(const char *at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

void journal_encode_header(char header[JOURNAL_HEADER_BYTES], uint64_t first)
{
	memcpy(header, JOURNAL_MAGIC, 8);
	put64(header + 8, first);
}

static uint64_t checksum(const char *head, struct slice payload)
{
	return hash64(payload.ptr, payload.len, hash64(head, CHECKSUM_AT, JOURNAL_MARK));
}

void journal_encode_record(char head[JOURNAL_RECORD_BYTES], const struct journal_record *record)
{
	put32(head, JOURNAL_MARK);
	put32(head + 4, (uint32_t)record->payload.len);
	put64(head + 8, record->sequence);
	put64(head + 16, (uint64_t)record->time.tv_sec);
	put32(head + 24, (uint32_t)record->time.tv_nsec);
	put32(head + 28, 0);
	put64(head + CHECKSUM_AT, checksum(head, record->payload));
}

void journal_segment_name(char name[JOURNAL_NAME_SIZE], uint64_t first)
{
	snprintf(name, JOURNAL_NAME_SIZE, "%016" PRIx64 ".log", first);
}

static int compare_firsts(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool parse_name(const char *name, uint64_t *first)
{
	char again[JOURNAL_NAME_SIZE];

	*first = strtoull(name, NULL, 16);
	journal_segment_name(again, *first);
	return *first && strcmp(name, again) == 0;
}

static int collect(DIR *dir, uint64_t **firsts, size_t *count)
{
	size_t cap = 0;

	for (struct dirent *entry; (entry = readdir(dir));) {
		uint64_t first;

		if (!parse_name(entry->d_name, &first))
			continue;
		if (*count == cap) {
			size_t more = cap ? cap * 2 : 16;
			uint64_t *grown = reallocarray(*firsts, more, sizeof(uint64_t));

			if (!grown)
				return -ENOMEM;
			*firsts = grown;
			cap = more;
		}
		(*firsts)[(*count)++] = first;
	}
	return 0;
}

int journal_list(int journal_fd, uint64_t **firsts, size_t *count, struct err *err)
{
	int fd = openat(journal_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int ret;

	*firsts = NULL;
	*count = 0;
	if (!dir) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return err_set(err, ret, "cannot list the journal: %s", strerror(-ret));
	}
	ret = collect(dir, firsts, count);
	closedir(dir);
	if (ret) {
		free(*firsts);
		*firsts = NULL;
		return err_set(err, ret, "out of memory");
	}
	if (*count)
		qsort(*firsts, *count, sizeof(uint64_t), compare_firsts);
	return 0;
}

/* ---- one segment ---- */

struct segment {
	int fd;
	char name[JOURNAL_NAME_SIZE];
	uint64_t size;
	uint64_t offset;
	struct buf payload;
};

static int damaged(const struct segment *s, uint64_t offset, const char *what, struct err *err)
{
	return err_set(err, -EBADMSG, "journal/%s:%" PRIu64 ": %s", s->name, offset, what);
}

static int read_at(const struct segment *s, char *to, size_t len, uint64_t offset, struct err *err)
{
	while (len) {
		ssize_t n = pread(s->fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int code = n < 0 ? -errno : -EIO;

			return err_set(err, code, "journal/%s:%" PRIu64 ": %s", s->name, offset,
				strerror(-code));
		}
		to += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

enum verdict { RECORD_GOOD, RECORD_END, RECORD_BAD };

/* Reads the record at offset. A negative errno, or a verdict. */
static int read_record(struct segment *s, uint64_t offset, struct journal_record *record,
	struct err *err)
{
	char head[JOURNAL_RECORD_BYTES];
	uint32_t len;
	int ret;

	if (offset == s->size)
		return RECORD_END;
	if (s->size - offset < JOURNAL_RECORD_BYTES)
		return RECORD_BAD;
	ret = read_at(s, head, sizeof(head), offset, err);
	if (ret)
		return ret;
	len = get32(head + 4);
	if (get32(head) != JOURNAL_MARK || s->size - offset - JOURNAL_RECORD_BYTES < len)
		return RECORD_BAD;
	buf_reset(&s->payload);
	if (len && !buf_reserve(&s->payload, len))
		return err_set(err, -ENOMEM, "out of memory");
	ret = len ? read_at(s, s->payload.ptr, len, offset + JOURNAL_RECORD_BYTES, err) : 0;
	if (ret)
		return ret;
	record->payload = slice_of(s->payload.ptr, len);
	record->sequence = get64(head + 8);
	record->time.tv_sec = (time_t)get64(head + 16);
	record->time.tv_nsec = (long)get32(head + 24);
	return checksum(head, record->payload) == get64(head + CHECKSUM_AT) ? RECORD_GOOD
									    : RECORD_BAD;
}

/*
 * Does a good record follow anywhere behind a bad one? Then it is no torn tail: something damaged
 * what was written long before. Looks for the mark at every offset.
 */
static int good_record_follows(struct segment *s, uint64_t offset, struct err *err)
{
	char window[65536];
	struct journal_record record;

	while (s->size - offset >= JOURNAL_RECORD_BYTES) {
		uint64_t left = s->size - offset;
		size_t len = left < sizeof(window) ? (size_t)left : sizeof(window);
		int ret = read_at(s, window, len, offset, err);

		if (ret)
			return ret;
		for (size_t i = 0; i + 4 <= len; i++) {
			if (get32(window + i) != JOURNAL_MARK)
				continue;
			ret = read_record(s, offset + i, &record, err);
			if (ret < 0)
				return ret;
			if (ret == RECORD_GOOD)
				return 1;
		}
		offset += len > 3 ? len - 3 : len;
	}
	return 0;
}

/* A page that a power loss left unwritten reads as zeros. */
static int is_unwritten(struct segment *s, uint64_t offset, struct err *err)
{
	char head[JOURNAL_RECORD_BYTES];
	size_t len = s->size - offset < sizeof(head) ? (size_t)(s->size - offset) : sizeof(head);
	int ret = read_at(s, head, len, offset, err);

	if (ret)
		return ret;
	for (size_t i = 0; i < len; i++) {
		if (head[i])
			return 0;
	}
	return 1;
}

static int judge_bad_record(struct segment *s, uint64_t offset, bool final, struct err *err)
{
	int ret = final ? is_unwritten(s, offset, err) : 0;

	if (ret < 0)
		return ret;
	if (ret)
		return 0;
	ret = final ? good_record_follows(s, offset + 1, err) : 1;
	if (ret < 0)
		return ret;
	return ret ? damaged(s, offset, "a damaged record", err) : 0;
}

static int scan_records(struct journal_scan *scan, struct segment *s, uint64_t next, bool final,
	struct journal_segment_info *info, struct err *err)
{
	struct journal_record record;
	int ret;

	for (;;) {
		ret = read_record(s, s->offset, &record, err);
		if (ret < 0 || ret == RECORD_END)
			return ret < 0 ? ret : 0;
		if (ret == RECORD_BAD)
			return judge_bad_record(s, s->offset, final, err);
		if (record.sequence != next)
			return damaged(s, s->offset, "a record out of sequence", err);
		if (record.sequence > scan->watermark) {
			ret = scan->replay(scan->context, &record, err);
			if (ret)
				return ret;
		}
		info->last = scan->last = next++;
		s->offset += JOURNAL_RECORD_BYTES + record.payload.len;
	}
}

static int scan_header(struct segment *s, uint64_t first, bool final, struct err *err)
{
	char header[JOURNAL_HEADER_BYTES] = {0};
	char expected[JOURNAL_HEADER_BYTES];
	int ret;

	if (s->size < sizeof(header))
		return final ? 0 : damaged(s, 0, "the segment's header is cut", err);
	ret = read_at(s, header, sizeof(header), 0, err);
	if (ret)
		return ret;
	journal_encode_header(expected, first);
	if (memcmp(header, expected, sizeof(header)) == 0) {
		s->offset = sizeof(header);
		return 0;
	}
	ret = final ? is_unwritten(s, 0, err) : 0;
	if (ret)
		return ret < 0 ? ret : 0;
	return damaged(s, 0, "not a segment of this journal", err);
}

/* Cuts what follows the last good record; a segment without records goes altogether. */
static int repair(struct journal_scan *scan, struct segment *s, bool empty, struct err *err)
{
	int ret = 0;

	if (empty && unlinkat(scan->journal_fd, s->name, 0))
		ret = -errno;
	else if (!empty && s->offset < s->size && ftruncate(s->fd, (off_t)s->offset))
		ret = -errno;
	if (ret)
		return err_set(err, ret, "journal/%s: %s", s->name, strerror(-ret));
	return 0;
}

int journal_scan_segment(struct journal_scan *scan, uint64_t first, bool final,
	struct journal_segment_info *info, struct err *err)
{
	struct segment s = {.fd = -1};
	struct stat st;
	int ret;

	*info = (struct journal_segment_info){.first = first, .last = first - 1};
	journal_segment_name(s.name, first);
	s.fd = openat(scan->journal_fd, s.name,
		(scan->repair ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	if (s.fd < 0 || fstat(s.fd, &st)) {
		ret = -errno;
		err_set(err, ret, "journal/%s: %s", s.name, strerror(-ret));
		goto out;
	}
	s.size = (uint64_t)st.st_size;
	ret = scan_header(&s, first, final, err);
	if (!ret && s.offset)
		ret = scan_records(scan, &s, first, final, info, err);
	if (!ret && scan->repair)
		ret = repair(scan, &s, info->last < first, err);
	info->bytes = info->last < first ? 0 : s.offset;
out:
	buf_release(&s.payload);
	if (s.fd >= 0)
		close(s.fd);
	return ret;
}
