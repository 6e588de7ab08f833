/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_STORE_DIR_H
#define OUROFS_STORE_DIR_H

#include <stdbool.h>

#include "err.h"

/*
 * STORE, the directory of everything ourofs keeps beside memory.edn, and the lock on it.
 *
 * The lock is flock(2) on STORE/lock, held by a descriptor that is closed on exec and released by
 * the kernel when its process ends, however it ends. The file holds the owner's pid, for people; and once he says
 * that he ends, that, so that who comes next waits for it.
 */
struct store_dir {
	int dir_fd; /* of STORE: everything below is opened relative to it */
	int lock_fd;
	bool was_ours; /* used before, or empty: no home or /tmp that was given for it */
	bool writes;   /* the lock is ours alone */
	bool ends;     /* and says so */
};

#define STORE_DIR_NONE ((struct store_dir){.dir_fd = -1, .lock_fd = -1})

/* Makes path (0700) where it is missing. */
int store_dir_make(const char *path, struct err *err);
/*
 * -EPERM where STORE, or the link to it, may have been planted, as anyone can in /tmp: it belongs neither to us, nor
 * to root, nor to the owner of the directory that it stands in. A missing one belongs to nobody. path is absolute.
 */
int store_dir_check_owner(const char *path, struct err *err);

/*
 * Makes path where missing, opens and locks it. With read_only nothing is made or written, the lock is shared, and a
 * missing STORE is no error: dir_fd stays -1. -EBUSY: another ourofs has it. Who says that he ends is waited for up to a
 * minute; patient: anyone for two seconds, as a daemon needs an instant to hear that it was unmounted.
 */
int store_dir_open(struct store_dir *dir, const char *path, bool read_only, bool patient,
	struct err *err);
/* From now on nobody is served: what is left to do takes as long as it takes. */
void store_dir_ends(struct store_dir *dir);
/* What is below keeps to its owner by its mode: one of ours that was made by hand may have another. */
void store_dir_keep_to_owner(const struct store_dir *dir);
void store_dir_close(struct store_dir *dir);
/* Of a first mount that failed: what it made at path, as far as it was no memory's yet, which has a journal. */
void store_dir_discard(const char *path);

#endif
