/* SPDX-License-Identifier: MIT */
#include "journal_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "journal_bytes.h"

void journal_encode_header(char header[JOURNAL_HEADER_BYTES], uint64_t first)
{
	memcpy(header, JOURNAL_MAGIC, 8);
	put_le64(header + 8, first);
}

void journal_encode_record(char head[JOURNAL_RECORD_BYTES], const struct journal_record *record)
{
	put_le32(head, JOURNAL_MARK);
	put_le32(head + 4, (uint32_t)record->payload.len);
	put_le64(head + 8, record->sequence);
	put_le64(head + 16, (uint64_t)record->time.tv_sec);
	put_le32(head + 24, (uint32_t)record->time.tv_nsec);
	put_le32(head + 28, (uint32_t)record->kind);
	put_le32(head + JOURNAL_CHECK_AT, journal_check_of(head, record->payload));
}

uint32_t journal_check_of(const char *head, struct slice payload)
{
	return crc32c(crc32c(0, head, JOURNAL_CHECK_AT), payload.ptr, payload.len);
}

void journal_encode_lost(char payload[JOURNAL_LOST_BYTES], uint64_t first, uint64_t last)
{
	put_le64(payload, first);
	put_le64(payload + 8, last);
}

uint64_t journal_record_next(const struct journal_record *record)
{
	return record->kind == JOURNAL_LOST ? get_le64(record->payload.ptr + 8) + 1
					    : record->sequence + 1;
}

const char *journal_kind_name(enum journal_kind kind)
{
	static const char *const names[] = {
		[JOURNAL_PUT] = "put",
		[JOURNAL_DELETE] = "delete",
		[JOURNAL_RENAME] = "rename",
		[JOURNAL_EXCHANGE] = "exchange",
		[JOURNAL_RENAME_DIRECTORY] = "directory rename",
		[JOURNAL_REMOVE_DIRECTORY] = "directory removal",
		[JOURNAL_ATTRIBUTES] = "attributes",
		[JOURNAL_ADOPTION] = "outside adoption",
		[JOURNAL_MODE] = "mode",
		[JOURNAL_LOST] = "lost records",
	};
	size_t at = kind;

	return at < sizeof(names) / sizeof(names[0]) && names[at] ? names[at] : "unknown kind";
}

/* ---- segments by name ---- */

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

bool journal_segment_first(const char *name, uint64_t *first)
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

		if (!journal_segment_first(entry->d_name, &first))
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

static int holds_record(int journal_fd, uint64_t first, struct err *err)
{
	struct journal_reader reader;
	struct journal_record record;
	uint64_t at;
	int ret = journal_reader_open(&reader, journal_fd, first, O_RDONLY, err);

	if (!ret)
		ret = journal_find_record(&reader, JOURNAL_HEADER_BYTES, &at, &record, err);
	journal_reader_close(&reader);
	return ret;
}

static int find_whole(int journal_fd, const uint64_t *firsts, size_t count, size_t *whole,
	struct err *err)
{
	for (*whole = count; *whole; (*whole)--) {
		int ret = holds_record(journal_fd, firsts[*whole - 1], err);

		if (ret)
			return ret < 0 ? ret : 0;
	}
	return 0;
}

int journal_list(int journal_fd, uint64_t **firsts, size_t *count, size_t *whole, struct err *err)
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
	if (ret)
		err_set(err, ret, "out of memory");
	else if (*count)
		qsort(*firsts, *count, sizeof(uint64_t), compare_firsts);
	if (!ret)
		ret = find_whole(journal_fd, *firsts, *count, whole, err);
	if (ret) {
		free(*firsts);
		*firsts = NULL;
		*count = 0;
	}
	return ret;
}
