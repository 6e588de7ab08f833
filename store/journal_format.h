/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JOURNAL_FORMAT_H
#define OUROFS_JOURNAL_FORMAT_H

#include "journal.h"

/* How the journal's files look, for journal.c and journal_replay.c. See journal.h. */
enum {
	JOURNAL_HEADER_BYTES = 16, /* of a segment: the mark, its first sequence number */
	JOURNAL_RECORD_BYTES = 40, /* of a record, before its payload */
	JOURNAL_NAME_SIZE = 24,    /* "0000000000000001.log" and NUL */
	JOURNAL_MARK = 0x31524a4f, /* "OJR1" */
};

#define JOURNAL_MAGIC       "ourofsJ1"
#define JOURNAL_PAYLOAD_MAX UINT32_MAX

void journal_encode_header(char header[JOURNAL_HEADER_BYTES], uint64_t first);
void journal_encode_record(char head[JOURNAL_RECORD_BYTES], const struct journal_record *record);
void journal_segment_name(char name[JOURNAL_NAME_SIZE], uint64_t first);

/* Sequence numbers that name the segments in a directory, ascending. The caller frees them. */
int journal_list(int journal_fd, uint64_t **firsts, size_t *count, struct err *err);

struct journal_scan {
	int journal_fd;
	bool repair; /* cut torn tails, remove segments without records */
	uint64_t watermark;
	journal_replay_fn *replay;
	void *context;
	/* results */
	uint64_t last; /* of all records, 0 without any */
};

struct journal_segment_info {
	uint64_t first;
	uint64_t last;
	uint64_t bytes; /* 0: it held no record and is gone */
};

/* Reads one segment. final: it is the newest, so that its end may be torn. */
int journal_scan_segment(struct journal_scan *scan, uint64_t first, bool final,
	struct journal_segment_info *info, struct err *err);

#endif
