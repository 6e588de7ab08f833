/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_BACKUP_JOURNAL_H
#define OUROFS_BACKUP_JOURNAL_H

#include <stdint.h>

#include "err.h"

/*
 * The segments of a journal that is in use, held while the stores are copied: a segment is made and, when both
 * stores have what is in it, removed within milliseconds; but not while its directory is locked (journal_trim).
 *
 *	ret = backup_journal_hold(&journal, "/x/memory.eav/journal", &err);
 *	... the stores are copied ...
 *	ret = backup_journal_copy(&journal, watermark, to_fd, &err);	// what follows watermark, in order
 *	backup_journal_release(&journal);
 */
struct backup_journal {
	const char *path; /* NULL: none is held */
	int dir_fd;
};

/* All segments that there are when it returns, and all that come. */
int backup_journal_hold(struct backup_journal *journal, const char *path, struct err *err);
/* to_fd: an empty directory. Of the last segment what is there by now. */
int backup_journal_copy(struct backup_journal *journal, uint64_t watermark, int to_fd,
	struct err *err);
/* Also of a zeroed one. */
void backup_journal_release(struct backup_journal *journal);

#endif
