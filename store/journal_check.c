/* SPDX-License-Identifier: MIT */
#include "journal_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal_mend.h"

/* One segment on its way through the check. */
struct walk {
	struct journal_check *check;
	struct journal_reader reader;
	struct journal_pieces pieces; /* what is good, and what a gap stands for */
	uint64_t first;
	uint64_t next;  /* the number that is due */
	uint64_t limit; /* the last number that can be in here */
	bool final;     /* nothing good follows: its end may be torn */
	bool damaged;
	struct buf line;
};

static int say(struct walk *w)
{
	if (!buf_cstr(&w->line))
		return -ENOMEM;
	w->check->say(w->check->context, w->line.ptr);
	buf_reset(&w->line);
	return 0;
}

/* Numbers are lost where first <= last. */
static int problem(struct walk *w, uint64_t offset, const char *cause, uint64_t first,
	uint64_t last)
{
	w->check->problems++;
	buf_add_format(&w->line, "journal/%s:%" PRIu64 ": %s", w->reader.name, offset, cause);
	if (first == last)
		buf_add_format(&w->line, ": record %" PRIu64 " is lost", first);
	else if (first < last)
		buf_add_format(&w->line, ": records %" PRIu64 " to %" PRIu64 " are lost", first,
			last);
	if (first <= last && last <= w->check->watermark)
		buf_add_str(&w->line,
			first == last ? ", but the stores have it" : ", but the stores have them");
	return say(w);
}

/* Can it stand here, now or behind a gap? */
static bool fits(const struct walk *w, const struct journal_record *record)
{
	return record->sequence >= w->next && journal_record_next(record) - 1 <= w->limit;
}

/* The first record not below from that fits. 1, 0 (*at is then the segment's end), negative. */
static int find_fitting(struct walk *w, uint64_t from, uint64_t *at, struct journal_record *record,
	struct err *err)
{
	int ret;

	while ((ret = journal_find_record(&w->reader, from, at, record, err)) > 0) {
		if (fits(w, record))
			return 1;
		from = *at + JOURNAL_RECORD_BYTES + record->payload.len;
	}
	*at = w->reader.size;
	return ret;
}

/* Something at offset does not belong there. *offset becomes where it goes on. */
static int skip_damage(struct walk *w, uint64_t *offset, const char *cause, struct err *err)
{
	struct journal_record record;
	uint64_t start = *offset;
	uint64_t first = w->next;
	int found = find_fitting(w, start, offset, &record, err);
	int ret;

	if (found < 0)
		return found;
	if (found)
		w->next = record.sequence;
	else if (!w->final)
		w->next = w->limit + 1;
	if (found && *offset == start)
		cause = "what was before is missing";
	else if (!found && w->final)
		cause = "a torn tail";
	w->damaged = true;
	ret = problem(w, start, cause, first, w->next - 1);
	if (!ret && first < w->next)
		ret = journal_pieces_add(&w->pieces, true, first, w->next - 1);
	return ret ? err_set(err, ret, "out of memory") : 0;
}

static int walk_records(struct walk *w, struct err *err)
{
	struct journal_record record;
	uint64_t offset = JOURNAL_HEADER_BYTES;
	int ret = 0;

	while (offset < w->reader.size && !ret) {
		uint64_t start = offset;

		ret = journal_read_record(&w->reader, offset, &record, err);
		if (ret < 0)
			return ret;
		if (ret == JOURNAL_END) {
			ret = 0; /* room */
			break;
		}
		if (ret == JOURNAL_GOOD && record.sequence == w->next && fits(w, &record)) {
			offset += JOURNAL_RECORD_BYTES + record.payload.len;
			w->next = journal_record_next(&record);
			ret = journal_pieces_add(&w->pieces, false, start, offset);
			if (ret)
				err_set(err, ret, "out of memory");
		} else {
			ret = skip_damage(w, &offset,
				ret == JOURNAL_GOOD ? "a record out of sequence"
						    : "a damaged record",
				err);
		}
	}
	if (!ret && !w->pieces.count && !w->final)
		ret = skip_damage(w, &offset, "no record", err);
	return ret;
}

static int walk_header(struct walk *w, struct err *err)
{
	int ret = journal_read_header(&w->reader, w->first, err);

	if (ret < 0 || ret == JOURNAL_GOOD)
		return ret;
	w->damaged = true;
	ret = problem(w, 0,
		ret == JOURNAL_END ? "the segment's header is cut"
				   : "the segment's header is damaged",
		1, 0);
	return ret ? err_set(err, ret, "out of memory") : 0;
}

static int mend(struct walk *w, int journal_fd, struct err *err)
{
	struct buf kept = BUF_INIT;
	int ret = journal_mend(journal_fd, &w->reader, w->first, &w->pieces, &kept, err);

	if (!ret) {
		buf_add_format(&w->line, "journal/%s: %s; as it was, it is journal/%s",
			w->reader.name, w->pieces.count ? "mended" : "removed", kept.ptr);
		ret = say(w);
		if (ret)
			err_set(err, ret, "out of memory");
	}
	buf_release(&kept);
	return ret;
}

/* All segments in their order. */
struct check_run {
	struct journal_check *check;
	int journal_fd;
	uint64_t *firsts;
	size_t count, whole;
	uint64_t last; /* of the segments before, or the watermark */
};

/* Whole segments, or the ends of some, are missing before this one. */
static int check_gap(struct check_run *run, struct walk *w, struct err *err)
{
	uint64_t due = run->last + 1;
	int ret;

	if (w->first <= due)
		return 0;
	ret = problem(w, 0, "what was before is missing", due, w->first - 1);
	if (ret)
		return err_set(err, ret, "out of memory");
	return run->check->repair ? journal_mend_gap(run->journal_fd, due, w->first - 1, err) : 0;
}

static int check_segment(struct check_run *run, size_t i, struct err *err)
{
	struct walk w = {.check = run->check,
		.first = run->firsts[i],
		.next = run->firsts[i],
		.limit = i + 1 < run->whole ? run->firsts[i + 1] - 1 : UINT64_MAX - 1,
		.final = i + 1 >= run->whole};
	int ret = journal_reader_open(&w.reader, run->journal_fd, w.first, O_RDONLY, err);

	if (!ret)
		ret = walk_header(&w, err);
	if (!ret && i < run->whole)
		ret = check_gap(run, &w, err);
	if (!ret)
		ret = walk_records(&w, err);
	if (!ret && w.damaged && run->check->repair)
		ret = mend(&w, run->journal_fd, err);
	if (w.next > w.first && w.next - 1 > run->last)
		run->last = w.next - 1;
	if (w.next && w.next - 1 > run->check->last)
		run->check->last = w.next - 1;
	journal_reader_close(&w.reader);
	free(w.pieces.items);
	buf_release(&w.line);
	return ret;
}

int journal_check(int dir_fd, struct journal_check *check, struct err *err)
{
	struct check_run run = {.check = check, .last = check->watermark};
	int ret;

	check->problems = check->segments = 0;
	check->first = check->last = 0;
	run.journal_fd = journal_open_dir(dir_fd, false, err);
	if (run.journal_fd < 0)
		return run.journal_fd;
	ret = journal_list(run.journal_fd, &run.firsts, &run.count, &run.whole, err);
	if (!ret && run.count) {
		check->segments = run.count;
		check->first = run.firsts[0];
		if (check->unknown_before && check->first)
			run.last = check->watermark = check->first - 1;
	}
	for (size_t i = 0; i < run.count && !ret; i++)
		ret = check_segment(&run, i, err);
	free(run.firsts);
	close(run.journal_fd);
	return ret;
}
