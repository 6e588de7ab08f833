/* SPDX-License-Identifier: MIT */
#include "journal_mend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "regular.h"
#include "write_all.h"

int journal_pieces_add(struct journal_pieces *pieces, bool lost, uint64_t from, uint64_t to)
{
	struct journal_piece *last = pieces->count ? &pieces->items[pieces->count - 1] : NULL;

	if (last && !lost && !last->lost && last->to == from) {
		last->to = to;
		return 0;
	}
	if (!pieces->items || pieces->count == pieces->cap) {
		size_t cap = pieces->cap ? pieces->cap * 2 : 8;
		struct journal_piece *grown = reallocarray(pieces->items, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		pieces->items = grown;
		pieces->cap = cap;
	}
	pieces->items[pieces->count++] = (struct journal_piece){lost, from, to};
	return 0;
}

static int copy(int to, int from, uint64_t at, uint64_t end)
{
	char window[65536];

	while (at < end) {
		size_t len = end - at < sizeof(window) ? (size_t)(end - at) : sizeof(window);
		ssize_t n = pread(from, window, len, (off_t)at);
		int ret;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		ret = write_all(to, window, (size_t)n);
		if (ret)
			return ret;
		at += (uint64_t)n;
	}
	return 0;
}

static int write_gap(int fd, uint64_t first, uint64_t last)
{
	char payload[JOURNAL_LOST_BYTES];
	char head[JOURNAL_RECORD_BYTES];
	struct journal_record record = {.sequence = first,
		.kind = JOURNAL_LOST,
		.payload = slice_of(payload, sizeof(payload))};
	int ret;

	clock_gettime(CLOCK_REALTIME, &record.time);
	journal_encode_lost(payload, first, last);
	journal_encode_record(head, &record);
	ret = write_all(fd, head, sizeof(head));
	return ret ? ret : write_all(fd, payload, sizeof(payload));
}

/* Under a name that no segment has, and on disk. */
static int write_segment(int journal_fd, const char *temporary, int old_fd, uint64_t first,
	const struct journal_pieces *pieces)
{
	char header[JOURNAL_HEADER_BYTES];
	int fd = regular_open(journal_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC);
	int ret;

	if (fd < 0)
		return -errno;
	journal_encode_header(header, first);
	ret = write_all(fd, header, sizeof(header));
	for (size_t i = 0; i < pieces->count && !ret; i++) {
		const struct journal_piece *piece = &pieces->items[i];

		ret = piece->lost ? write_gap(fd, piece->from, piece->to)
				  : copy(fd, old_fd, piece->from, piece->to);
	}
	if (!ret && fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

/* A second name for the segment, so that none is missing at any moment. */
static int keep_old(int journal_fd, const char *name, struct buf *kept)
{
	long long now = (long long)time(NULL);

	for (int tries = 0; tries < 100; tries++) {
		buf_reset(kept);
		buf_add_format(kept, "%s.damaged-%lld", name, now + tries);
		if (!buf_cstr(kept))
			return -ENOMEM;
		if (linkat(journal_fd, name, journal_fd, kept->ptr, 0) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int replace(int journal_fd, const char *name, int old_fd, uint64_t first,
	const struct journal_pieces *pieces, struct buf *kept)
{
	char temporary[JOURNAL_NAME_SIZE + 8];
	int ret = 0;

	snprintf(temporary, sizeof(temporary), "%s.mended", name);
	if (pieces->count)
		ret = write_segment(journal_fd, temporary, old_fd, first, pieces);
	if (!ret && kept)
		ret = keep_old(journal_fd, name, kept);
	if (!ret && pieces->count && renameat(journal_fd, temporary, journal_fd, name))
		ret = -errno;
	if (!ret && !pieces->count && unlinkat(journal_fd, name, 0))
		ret = -errno;
	if (!ret && fsync(journal_fd))
		ret = -errno;
	if (ret && pieces->count)
		unlinkat(journal_fd, temporary, 0);
	return ret;
}

int journal_mend(int journal_fd, const struct journal_reader *old, uint64_t first,
	const struct journal_pieces *pieces, struct buf *kept, struct err *err)
{
	int ret = replace(journal_fd, old->name, old->fd, first, pieces, kept);

	return ret ? err_set(err, ret, "journal/%s: cannot be mended: %s", old->name,
			     strerror(-ret))
		   : 0;
}

int journal_mend_gap(int journal_fd, uint64_t first, uint64_t last, struct err *err)
{
	struct journal_piece gap = {true, first, last};
	struct journal_pieces pieces = {&gap, 1, 1};
	char name[JOURNAL_NAME_SIZE];
	int ret;

	journal_segment_name(name, first);
	ret = replace(journal_fd, name, -1, first, &pieces, NULL);
	return ret ? err_set(err, ret, "journal/%s: cannot be made: %s", name, strerror(-ret)) : 0;
}
