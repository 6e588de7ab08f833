/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SETTLE_H
#define OUROFS_SETTLE_H

#include "state.h"

/*
 * A directory that was made by mkdir is a real one below scratch/ until a key comes to be below it;
 * then it is the memory's. Its mode and time go with it, as nothing has happened to it that
 * would change them, and the real directory goes once it is empty.
 *
 *	settle_begin(fs, path, &settling);	// before a document comes to be at path
 *	...
 *	settle_end(fs, &settling, came);	// after; with false nothing happens
 */
struct settling_directory;

struct settling {
	struct buf path;
	struct settling_directory *first; /* innermost first */
};

void settle_begin(struct fs *fs, struct slice path, struct settling *settling);
void settle_end(struct fs *fs, struct settling *settling, bool came);

#endif
