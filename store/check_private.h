/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CHECK_PRIVATE_H
#define OUROFS_CHECK_PRIVATE_H

#include <stdint.h>

#include "check.h"
#include "env_notes.h"
#include "env_pages.h"
#include "saved.h"
#include "table.h"

/* What check*.c share. */

/* One LMDB file of the store, read by env_pages.h alone. */
struct check_file {
	const char *name; /* "saved/data.mdb" */
	int fd;           /* -1: it is not there */
	bool readable;    /* pages is open */
	bool sound;       /* and its pages are as they should be */
	struct env_pages pages;
	size_t problems;
	struct env_seal seal;
	bool notes_damaged; /* they are worth nothing */
	bool has_watermark;
	uint64_t watermark;
	uint64_t rows;
};

struct check_run {
	struct check *check;
	struct check_file saved, eav;
	/* of saved's notes */
	uint64_t next_ino, version, epoch, mode, eav_current;
	uint64_t file_sequence; /* memory.edn holds all up to there; 0: not known */
	/* the highest that any good record has */
	uint64_t top_sequence, top_ino, top_version, top_epoch;
	/* of the journal */
	bool has_journal;
	uint64_t journal_first, journal_last;
	bool ahead;             /* a watermark is, of the journal */
	struct table documents; /* names of those in the EAV store -> the table itself */
	bool lacks;             /* the EAV store, used alone, has not all that is saved */
};

enum { CHECK_LINES_MAX = 100 };

__attribute__((format(printf, 4, 5))) void check_problem(struct check *check, const char *file,
	const char *where, const char *format, ...);
__attribute__((format(printf, 3, 4))) void check_done(struct check *check, const char *file,
	const char *format, ...);
/*
 * Keys are text, and what is left of damaged ones is anything: nobody's terminal is to obey it. NULL: out of
 * memory.
 */
const char *check_printable(struct buf *out, const char *text);
/* Between files. */
void check_end_file(struct check *check, const char *file);

/* A record's name for people: a key, key and member, a directory. Into text, as a C string or NULL. */
const char *check_name(struct buf *text, struct slice name);

/* ---- check_file.c: one LMDB file ---- */

int check_file_open(struct check_run *run, struct check_file *file, struct err *err);
void check_file_close(struct check_file *file);

/* ---- check_saved.c, check_eav.c: what is in them ---- */

int check_saved(struct check_run *run, struct err *err);
/* Are bytes or text the value that the record names? 1, 0 (*what says what is wrong), -ENOMEM. */
int check_saved_value(const struct saved_record *record, const char **what);
/* How many bytes a note has, if it is one that is known. */
bool check_note_bytes(struct slice name, size_t *bytes);
int check_eav(struct check_run *run, struct err *err);

/* ---- check_mend.c: new files for old ones ---- */

int check_mend(struct check_run *run, struct err *err);

/* ---- check_mend_saved.c, check_mend_eav.c: what is to be in them, below the directory fd and path ---- */

int check_mend_saved(struct check_run *run, int fd, const char *path, struct err *err);
int check_mend_eav(struct check_run *run, int fd, const char *path, struct err *err);

#endif
