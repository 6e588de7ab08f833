/* SPDX-License-Identifier: MIT */
#include "journal_format.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/*
 * A bad record that no good one follows is a torn tail, and so is one of which a sector was never
 * written. Otherwise, with a good one behind it, something damaged what was written long before.
 */
static int judge_bad_record(struct journal_reader *r, uint64_t offset, bool final, struct err *err)
{
	struct journal_record record;
	uint64_t at;
	int ret;

	if (final) {
		ret = journal_find_record(r, offset + 1, &at, &record, err);
		if (ret <= 0)
			return ret;
		ret = journal_is_torn(r, offset, at, err);
		if (ret)
			return ret < 0 ? ret : 0;
	}
	return journal_damaged(r, offset, "a damaged record", err);
}

/* From *offset, which ends behind the last good record. */
static int scan_records(struct journal_scan *scan, struct journal_reader *r, uint64_t *offset,
	bool final, struct journal_segment_info *info, struct err *err)
{
	uint64_t next = info->first;
	struct journal_record record;
	int ret;

	for (;;) {
		ret = journal_read_record(r, *offset, &record, err);
		if (ret < 0 || ret == JOURNAL_END)
			return ret < 0 ? ret : 0;
		if (ret == JOURNAL_BAD)
			return judge_bad_record(r, *offset, final, err);
		if (record.sequence != next)
			return journal_damaged(r, *offset, "a record out of sequence", err);
		/* what a gap covers is lost, but not what follows */
		if (record.kind != JOURNAL_LOST && record.sequence > scan->watermark) {
			ret = scan->replay(scan->context, &record, err);
			if (ret)
				return ret;
		}
		next = journal_record_next(&record);
		info->last = scan->last = next - 1;
		*offset += JOURNAL_RECORD_BYTES + record.payload.len;
	}
}

/* *offset stays 0 where not even the header got to the disk. */
static int scan_header(struct journal_reader *r, uint64_t first, bool final, uint64_t *offset,
	struct err *err)
{
	int ret = journal_read_header(r, first, err);

	if (ret < 0)
		return ret;
	if (ret == JOURNAL_GOOD)
		*offset = JOURNAL_HEADER_BYTES;
	if (ret == JOURNAL_GOOD || (ret == JOURNAL_END && final))
		return 0;
	if (ret == JOURNAL_END)
		return journal_damaged(r, 0, "the segment's header is cut", err);
	ret = final ? journal_is_torn(r, 0, JOURNAL_HEADER_BYTES, err) : 0;
	if (ret)
		return ret < 0 ? ret : 0;
	return journal_damaged(r, 0, "not a segment of this journal", err);
}

/* Cuts what follows the last good record; a segment without records goes altogether. */
static int cut(struct journal_scan *scan, const struct journal_reader *r, uint64_t offset,
	bool empty, struct err *err)
{
	int ret = 0;

	if (empty && unlinkat(scan->journal_fd, r->name, 0))
		ret = -errno;
	else if (!empty && offset < r->size && ftruncate(r->fd, (off_t)offset))
		ret = -errno;
	if (ret)
		return err_set(err, ret, "journal/%s: %s", r->name, strerror(-ret));
	return 0;
}

int journal_scan_segment(struct journal_scan *scan, uint64_t first, bool final,
	struct journal_segment_info *info, struct err *err)
{
	struct journal_reader r;
	uint64_t offset = 0;
	bool empty = true;
	int ret;

	*info = (struct journal_segment_info){.first = first, .last = first - 1};
	ret = journal_reader_open(&r, scan->journal_fd, first, scan->repair ? O_RDWR : O_RDONLY,
		err);
	if (!ret)
		ret = scan_header(&r, first, final, &offset, err);
	if (!ret && offset)
		ret = scan_records(scan, &r, &offset, final, info, err);
	empty = info->last < first;
	if (!ret && scan->repair)
		ret = cut(scan, &r, offset, empty, err);
	info->bytes = empty ? 0 : offset;
	journal_reader_close(&r);
	return ret;
}
