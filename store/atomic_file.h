/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ATOMIC_FILE_H
#define OUROFS_ATOMIC_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "err.h"
#include "hash.h"

/*
 * Replaces a file in one step: readers see the old content or the new, never a mix, and a crash
 * leaves one of the two.
 *
 *	struct atomic_file f;
 *	ret = atomic_file_begin(&f, "/abs/path/memory.edn", &(struct atomic_owner){.mode = 0600}, err);
 *	if (!ret)
 *		ret = atomic_file_write(&f, iov, count, NULL, err);	// any number of times
 *	if (!ret)
 *		ret = atomic_file_sync(&f, &st, err);
 *	if (!ret && nobody_changed_the_target())
 *		ret = atomic_file_commit(&f, &st, err);
 *	atomic_file_end(&f);				// removes the temporary unless committed
 *
 * The temporary stands beside the target as ".NAME.ourofs-XXXXXX", locked (flock) while its writer
 * lives; it is exchanged with the target, which is removed under that name. Mode, owner, ACL and other
 * extended attributes of a file that is replaced are kept; where the owner can't be, the target stays as
 * it was (-EPERM). A path that is no regular file is -EINVAL.
 */
struct atomic_file {
	int dir;
	int fd;
	int old;              /* the file that is replaced, or -1 */
	off_t written, begun; /* of which so much is on its way to the disk */
	char name[NAME_MAX + 1];
	char temporary[NAME_MAX + 1]; /* empty: there is none */
};

#define ATOMIC_FILE_NONE ((struct atomic_file){.dir = -1, .fd = -1, .old = -1})

/* Whose a file is, and who may do what with it. */
struct atomic_owner {
	bool known; /* else the process's */
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

/* path is not followed if it is a symbolic link (-ELOOP). owner: where there is no file yet. */
int atomic_file_begin(struct atomic_file *f, const char *path, const struct atomic_owner *owner,
	struct err *err);
/* stream, or NULL: gets the same bytes, while they are in the processor's cache. */
int atomic_file_write(struct atomic_file *f, const struct iovec *iov, size_t count,
	struct hash_stream *stream, struct err *err);
/* The content is on disk. st: the new file as this writer left it. */
int atomic_file_sync(struct atomic_file *f, struct stat *st, struct err *err);
/* old is what stands at the name now: it is no longer the file that was there at the begin. */
int atomic_file_look_again(struct atomic_file *f, struct err *err);
/*
 * rename, fsync of the directory; the rename's ctime goes to st. old is what was replaced, also where that came to the name in
 * the instant before.
 */
int atomic_file_commit(struct atomic_file *f, struct stat *st, struct err *err);
void atomic_file_end(struct atomic_file *f);

/* Removes the temporaries of path that a killed writer left. */
void atomic_file_sweep(const char *path);

#endif
