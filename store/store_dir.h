/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_STORE_DIR_H
#define OUROFS_STORE_DIR_H

#include <stdbool.h>

#include "err.h"

/*
 * STORE, the directory of everything ourofs keeps beside memory.edn, and the lock on it.
 *
 * The lock is flock(2) on STORE/lock, held by a descriptor that is closed on exec and released by
 * the kernel when its process ends, however it ends. The file holds the owner's pid, for people.
 */
struct store_dir {
	int dir_fd; /* of STORE: everything below is opened relative to it */
	int lock_fd;
	bool was_ours; /* used before, or empty: no home or /tmp that was given for it */
};

#define STORE_DIR_NONE ((struct store_dir){-1, -1, false})

/* Makes path (0700) where it is missing. */
int store_dir_make(const char *path, struct err *err);
/*
 * -EPERM where STORE, or the link to it, may have been planted, as anyone can in /tmp: it belongs neither to us, nor
 * to root, nor to the owner of the directory that it stands in. A missing one belongs to nobody. path is absolute.
 */
int store_dir_check_owner(const char *path, struct err *err);

/*
 * Makes path where missing, opens and locks it. With read_only nothing is made or written, the lock is shared, and a
 * missing STORE is no error: dir_fd stays -1. -EBUSY: another ourofs has it.
 */
int store_dir_open(struct store_dir *dir, const char *path, bool read_only, struct err *err);
/* What is below keeps to its owner by its mode: one of ours that was made by hand may have another. */
void store_dir_keep_to_owner(const struct store_dir *dir);
void store_dir_close(struct store_dir *dir);

#endif
