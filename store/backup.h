/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_BACKUP_H
#define OUROFS_BACKUP_H

#include <stddef.h>

#include "err.h"

/*
 * Copies a memory, both stores and the journal, while it is in use: all that was committed before the call,
 * and nothing torn. What `to` holds in the end is mounted as it is:
 *
 *	to/memory.edn    to/memory.eav/
 *
 * Until it is whole it is called to.partial. No lock is taken, nothing in the store is written but LMDB's
 * table of readers.
 */
struct backup {
	const char *store; /* STORE */
	const char *edn;   /* memory.edn, which may be missing */
	const char *to;    /* made 0700; where it is there, it must be empty, and no mountpoint */
	size_t skipped;    /* out: scratch entries that are neither file nor directory */
};
/* -ENOTEMPTY; -EEXIST: to.partial is there; and what reading and writing can fail with. */
int backup_make(struct backup *backup, struct err *err);

#endif
