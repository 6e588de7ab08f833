/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JOURNAL_FORMAT_H
#define OUROFS_JOURNAL_FORMAT_H

#include "journal.h"

/* How the journal's files look, and how they are read. See journal.h. */
enum {
	JOURNAL_HEADER_BYTES = 16,  /* of a segment: the magic, its first sequence number */
	JOURNAL_RECORD_BYTES = 36,  /* of a record, before its payload */
	JOURNAL_LOST_BYTES = 16,    /* the payload of JOURNAL_LOST: first and last lost number */
	JOURNAL_SECTOR_BYTES = 512, /* no disk writes less at once */
	JOURNAL_NAME_SIZE = 24,     /* "0000000000000001.log" and NUL */
	JOURNAL_MARK = 0x31524a4f,  /* "OJR1" */
};

#define JOURNAL_MAGIC         "ourofsJ2"
#define JOURNAL_MAGIC_FAMILY  7 /* bytes of it that all versions share */
#define JOURNAL_PAYLOAD_MAX   UINT32_MAX
#define JOURNAL_SEGMENT_BYTES ((uint64_t)64 << 20) /* a record that passes it opens the next one */

void journal_encode_header(char header[JOURNAL_HEADER_BYTES], uint64_t first);
void journal_encode_record(char head[JOURNAL_RECORD_BYTES], const struct journal_record *record);
void journal_encode_lost(char payload[JOURNAL_LOST_BYTES], uint64_t first, uint64_t last);
void journal_segment_name(char name[JOURNAL_NAME_SIZE], uint64_t first);
/* False: it is no segment's name. */
bool journal_segment_first(const char *name, uint64_t *first);

/*
 * Sequence numbers that name the segments in a directory, ascending. The caller frees them. *whole: how many
 * there are up to the newest one that holds a good record. The end of that one, and whatever is behind it, may
 * be what was being written when the machine stopped: a new segment's name can reach the disk before the
 * old one's last records.
 */
int journal_list(int journal_fd, uint64_t **firsts, size_t *count, size_t *whole, struct err *err);

/* ---- journal_reader.c: one segment ---- */

struct journal_reader {
	int fd;
	char name[JOURNAL_NAME_SIZE];
	uint64_t size;
	struct buf payload; /* of the record read last */
};

enum journal_verdict { JOURNAL_GOOD, JOURNAL_END, JOURNAL_BAD };

/* flags: O_RDONLY or O_RDWR. What is closed may be closed again. */
int journal_reader_open(struct journal_reader *reader, int journal_fd, uint64_t first, int flags,
	struct err *err);
void journal_reader_close(struct journal_reader *reader);
/* These give a negative errno (what could not be read) or a verdict. -EPROTO: a segment of another version. */
int journal_read_header(struct journal_reader *reader, uint64_t first, struct err *err);
int journal_read_record(struct journal_reader *reader, uint64_t offset,
	struct journal_record *record, struct err *err);
/* 1 and *at, the first offset not below from at which a good record stands; 0: there is none. */
int journal_find_record(struct journal_reader *reader, uint64_t from, uint64_t *at,
	struct journal_record *record, struct err *err);
/*
 * 1: a sector between the two offsets reads as zeros. A power loss leaves those that were not written yet, also
 * where later ones were.
 */
int journal_is_torn(struct journal_reader *reader, uint64_t from, uint64_t to, struct err *err);
/* "journal/NAME:OFFSET: what", -EBADMSG. */
int journal_damaged(const struct journal_reader *reader, uint64_t offset, const char *what,
	struct err *err);

/* The number that is due behind a good record. */
uint64_t journal_record_next(const struct journal_record *record);

/* ---- journal_replay.c: what is there, in order ---- */

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

/* Reads one segment. final: nothing good follows it, so that its end may be torn. */
int journal_scan_segment(struct journal_scan *scan, uint64_t first, bool final,
	struct journal_segment_info *info, struct err *err);
/* Opens STORE/journal; make: where missing. A descriptor or a negative errno. */
int journal_open_dir(int dir_fd, bool make, struct err *err);

#endif
