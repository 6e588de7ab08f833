/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_PRUNE_H
#define OUROFS_PRUNE_H

#include <pthread.h>
#include <stddef.h>

#include "buf.h"

/*
 * Directories below scratch/ that are there only because a scratch file was beside documents: the
 * memory has the directory itself. When the file has left they are of no use, but the next save by
 * rename wants them again, and making and removing them costs more than the rest of it. So they stay,
 * and are removed before what could make them look like a user's own (another writer takes the last
 * key out of the memory's directory), before a directory is renamed or synced, when there are
 * PRUNE_MAX of them, and at the end; those that a killed daemon left, at the next mount.
 */
struct fs;

enum { PRUNE_MAX = 64 };

struct prunable {
	pthread_mutex_t lock;
	size_t count; /* guarded by lock, as below */
	struct buf paths[PRUNE_MAX];
};

/* After a scratch file at path left. */
void prune_later(struct fs *fs, struct slice path);
/* Removes those that are empty. */
void prune_now(struct fs *fs);
/* What a daemon left that was killed: looks at all directories that the memory has, too. */
void prune_left_over(struct fs *fs);

#endif
