/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SETTLE_H
#define OUROFS_SETTLE_H

#include "state.h"

/*
 * A directory without keys is a real one below scratch/; with the first key below it, it is the
 * memory's, and with the last it is a real one again. Its mode and time go along: nothing happens to
 * it that would change them, except to the innermost one, in which a name comes or goes.
 *
 *	settle_begin_coming(fs, path, &settling);	or	ret = settle_begin_leaving(...);
 *	...
 *	settle_came(fs, &settling);	or	settle_left(fs, &settling);
 *	settle_release(fs, &settling);		// in any case
 *
 * Between begin and release no one else sets a directory's attributes.
 */
struct settling_directory;

struct settling {
	struct buf path;
	struct settling_directory *first; /* innermost first */
	bool locked;
	bool ready; /* some were made real beforehand */
};

/* Before a document comes to be: the real directories above it that will be the memory's. */
void settle_begin_coming(struct fs *fs, struct slice path, struct settling *settling);
/* Before a document leaves: the memory's directories above it. -ENOMEM: they would go along, so it is to stay. */
int settle_begin_leaving(struct fs *fs, struct slice path, struct settling *settling);
void settle_came(struct fs *fs, struct settling *settling);
void settle_left(struct fs *fs, struct settling *settling);
void settle_release(struct fs *fs, struct settling *settling);

/*
 * Before the real name at path goes whose place the memory has taken: its record is on disk where a sync may have
 * promised the name. A power cut would take both otherwise. 0, or the name is to stay.
 */
int settle_secure(struct fs *fs, struct slice path);
/* The same, and the empty file that was there goes. */
void settle_drop_empty(struct fs *fs, struct slice path);

/*
 * An empty new file is a name in its directory, too, though the memory does not know it: with it the
 * directory's time changes, and not again when it gets content. before: what the time was; NULL: now.
 */
bool settle_directory_time(struct fs *fs, struct slice path, struct timespec *time);
void settle_set_directory_time(struct fs *fs, struct slice path, const struct timespec *before);

#endif
