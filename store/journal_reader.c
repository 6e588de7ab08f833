/* SPDX-License-Identifier: MIT */
#include "journal_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal_bytes.h"
#include "pread_all.h"
#include "regular.h"

int journal_reader_open(struct journal_reader *reader, int journal_fd, uint64_t first, int flags,
	struct err *err)
{
	struct stat st;
	int ret;

	*reader = (struct journal_reader){.fd = -1};
	journal_segment_name(reader->name, first);
	reader->fd = regular_open(journal_fd, reader->name, flags);
	if (reader->fd < 0 || fstat(reader->fd, &st)) {
		ret = reader->fd < 0 ? reader->fd : -errno;
		return err_set(err, ret, "journal/%s: %s", reader->name, strerror(-ret));
	}
	reader->size = (uint64_t)st.st_size;
	return 0;
}

void journal_reader_close(struct journal_reader *reader)
{
	buf_release(&reader->payload);
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
}

int journal_damaged(const struct journal_reader *reader, uint64_t offset, const char *what,
	struct err *err)
{
	return err_set(err, -EBADMSG, "journal/%s:%" PRIu64 ": %s", reader->name, offset, what);
}

static int read_at(const struct journal_reader *reader, char *to, size_t len, uint64_t offset,
	struct err *err)
{
	ssize_t n = pread_all(reader->fd, to, len, offset);
	int ret = n < 0 ? (int)n : (size_t)n < len ? -EIO : 0;

	return ret ? err_set(err, ret, "journal/%s:%" PRIu64 ": %s", reader->name, offset,
			     strerror(-ret))
		   : 0;
}

int journal_read_header(struct journal_reader *reader, uint64_t first, struct err *err)
{
	char header[JOURNAL_HEADER_BYTES];
	char expected[JOURNAL_HEADER_BYTES];
	int ret;

	if (reader->size < sizeof(header))
		return JOURNAL_END;
	ret = read_at(reader, header, sizeof(header), 0, err);
	if (ret)
		return ret;
	journal_encode_header(expected, first);
	if (memcmp(header, expected, sizeof(header)) == 0)
		return JOURNAL_GOOD;
	/* one digit behind the family: anything else is damage to our own */
	if (memcmp(header, expected, JOURNAL_MAGIC_FAMILY) == 0 &&
		header[JOURNAL_MAGIC_FAMILY] > '0' && header[JOURNAL_MAGIC_FAMILY] <= '9' &&
		memcmp(header, expected, 8) != 0 &&
		memcmp(header + 8, expected + 8, sizeof(header) - 8) == 0)
		return err_set(err, -EPROTO,
			"journal/%s:0: written by another version of ourofs, which must read it",
			reader->name);
	return JOURNAL_BAD;
}

/* There is a next number. A gap's record stands at its first lost number and says it, and the last one. */
static bool is_sound(const struct journal_record *record)
{
	uint64_t last;

	if (record->sequence == UINT64_MAX)
		return false;
	if (record->kind != JOURNAL_LOST)
		return true;
	if (record->payload.len != JOURNAL_LOST_BYTES)
		return false;
	last = get_le64(record->payload.ptr + 8);
	return get_le64(record->payload.ptr) == record->sequence && last >= record->sequence &&
	       last != UINT64_MAX;
}

static bool is_zero(const char *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* 1: there are only zeros from here to there. */
static int are_zeros(struct journal_reader *reader, uint64_t from, uint64_t to, struct err *err)
{
	char window[4096];

	while (from < to) {
		size_t len = to - from < sizeof(window) ? (size_t)(to - from) : sizeof(window);
		int ret = read_at(reader, window, len, from, err);

		if (ret)
			return ret;
		if (!is_zero(window, len))
			return 0;
		from += len;
	}
	return 1;
}

/* Room that nothing was written to is no damage. */
static int end_or_bad(struct journal_reader *reader, uint64_t offset, struct err *err)
{
	int ret = are_zeros(reader, offset, reader->size, err);

	return ret < 0 ? ret : ret ? JOURNAL_END : JOURNAL_BAD;
}

int journal_read_record(struct journal_reader *reader, uint64_t offset,
	struct journal_record *record, struct err *err)
{
	char head[JOURNAL_RECORD_BYTES];
	uint32_t len;
	int ret;

	if (reader->size - offset < JOURNAL_RECORD_BYTES)
		return end_or_bad(reader, offset, err);
	ret = read_at(reader, head, sizeof(head), offset, err);
	if (ret)
		return ret;
	len = get_le32(head + 4);
	if (get_le32(head) == 0)
		return end_or_bad(reader, offset, err);
	if (get_le32(head) != JOURNAL_MARK || reader->size - offset - JOURNAL_RECORD_BYTES < len)
		return JOURNAL_BAD;
	buf_reset(&reader->payload);
	if (len && !buf_reserve(&reader->payload, len))
		return err_set(err, -ENOMEM, "out of memory");
	ret = len ? read_at(reader, reader->payload.ptr, len, offset + JOURNAL_RECORD_BYTES, err)
		  : 0;
	if (ret)
		return ret;
	record->payload = slice_of(reader->payload.ptr, len);
	record->sequence = get_le64(head + 8);
	record->time.tv_sec = (time_t)get_le64(head + 16);
	record->time.tv_nsec = (long)get_le32(head + 24);
	record->kind = (enum journal_kind)get_le32(head + 28);
	return journal_check_of(head, record->payload) == get_le32(head + JOURNAL_CHECK_AT) &&
			       is_sound(record)
		       ? JOURNAL_GOOD
		       : JOURNAL_BAD;
}

/* By the daemon that writes it, while this is a look from outside: then size is what is left. */
static bool was_cut(struct journal_reader *reader)
{
	struct stat st;

	if (fstat(reader->fd, &st) || (uint64_t)st.st_size >= reader->size)
		return false;
	reader->size = (uint64_t)st.st_size;
	return true;
}

/* Looks for the mark at every offset. */
static int find_record(struct journal_reader *reader, uint64_t from, uint64_t *at,
	struct journal_record *record, struct err *err)
{
	char window[65536];

	while (from < reader->size && reader->size - from >= JOURNAL_RECORD_BYTES) {
		uint64_t left = reader->size - from;
		size_t len = left < sizeof(window) ? (size_t)left : sizeof(window);
		int ret = read_at(reader, window, len, from, err);

		if (ret)
			return ret;
		for (size_t i = 0; i + 4 <= len; i++) {
			if (get_le32(window + i) != JOURNAL_MARK)
				continue;
			ret = journal_read_record(reader, from + i, record, err);
			if (ret < 0)
				return ret;
			*at = from + i;
			if (ret == JOURNAL_GOOD)
				return 1;
		}
		/* a mark may stand across two windows */
		from += len - 3;
	}
	return 0;
}

int journal_find_record(struct journal_reader *reader, uint64_t from, uint64_t *at,
	struct journal_record *record, struct err *err)
{
	int ret;

	do {
		ret = find_record(reader, from, at, record, err);
	} while (ret < 0 && was_cut(reader));
	if (ret >= 0 && err)
		*err = (struct err){0};
	return ret;
}

int journal_is_torn(struct journal_reader *reader, uint64_t from, uint64_t to, struct err *err)
{
	uint64_t sector =
		(from + JOURNAL_SECTOR_BYTES) / JOURNAL_SECTOR_BYTES * JOURNAL_SECTOR_BYTES;
	int ret = are_zeros(reader, from, sector < to ? sector : to, err);

	for (; !ret && sector + JOURNAL_SECTOR_BYTES <= to; sector += JOURNAL_SECTOR_BYTES)
		ret = are_zeros(reader, sector, sector + JOURNAL_SECTOR_BYTES, err);
	return ret;
}
