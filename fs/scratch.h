/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SCRATCH_H
#define OUROFS_SCRATCH_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"

/*
 * The permission bits that are kept, here and for documents. Without setuid and setgid: what is saved by one user is the
 * real file of another, root perhaps.
 */
enum { SCRATCH_MODE = 01777 };

/*
 * A tree of real files below a directory of STORE: scratch/ (editors' temporaries, .git, whatever
 * is no document), and read-only rejected/ and conflicts/.
 *
 * Paths are relative, without a slash in front, "" is the tree's root. No symbolic link is followed
 * and none leads out (openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), even when someone plants one below
 * STORE. Any thread may call anything. Functions return 0 (or a descriptor) or a negative errno.
 */
struct scratch {
	int root;
	int staging;      /* STORE/staging/: files on their way, on the same file system */
	size_t max_bytes; /* 0: no limit */
	/* Shared from where missing parents are made to where something is in them; alone for rmdir. */
	pthread_rwlock_t pruning;
	/* Each is counted when it is done, and before whoever asked for it is answered. */
	atomic_ulong changes;
	pthread_mutex_t syncing;
	unsigned long synced;     /* of the changes, those that are on disk; guarded by syncing */
	atomic_llong promised_ns; /* wall clock: what was there then, someone may rely on */
	atomic_llong
		used_bytes; /* blocks of all files; an open unlinked file counts until it is closed */
};

/* Opens store_dir/name, with make makes it (0700); counts what is there if there is a limit. */
int scratch_open(struct scratch *scratch, const char *store_dir, const char *name, bool make,
	size_t max_bytes, struct err *err);
void scratch_close(struct scratch *scratch);

int scratch_stat(struct scratch *scratch, struct slice path, struct stat *st);
/* flags as open(2)'s; O_CREAT makes missing parents too. Returns a descriptor. */
int scratch_openfile(struct scratch *scratch, struct slice path, int flags, mode_t mode);
/* Makes a directory and what is missing above it. -EEXIST. */
int scratch_mkdir(struct scratch *scratch, struct slice path, mode_t mode);
/* The same, but content where it is there already. */
int scratch_keep_directory(struct scratch *scratch, struct slice path);
/* still_open: it is counted until scratch_forget says that the last descriptor is to be closed. */
int scratch_unlink(struct scratch *scratch, struct slice path, bool still_open);
void scratch_forget(struct scratch *scratch, int fd);
int scratch_rmdir(struct scratch *scratch, struct slice path);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE. Missing parents of `to` are made. SCRATCH_STILL_OPEN: what is replaced is. */
enum { SCRATCH_STILL_OPEN = 1 << 16 };
int scratch_rename(struct scratch *scratch, struct slice from, struct slice to, unsigned flags);

/* The directory above path, made where missing; *name points to the last name, into buffer. */
int scratch_open_parent(struct scratch *scratch, struct slice path, char buffer[PATH_MAX],
	char **name);

/*
 * Whole files: read appends; write replaces atomically (temporary file, rename). durable: the bytes are on
 * disk before they get the name, so that whoever makes sure of the name afterwards has them with it.
 */
int scratch_read_whole(struct scratch *scratch, struct slice path, size_t max, struct buf *bytes,
	struct stat *st);
int scratch_write_whole(struct scratch *scratch, struct slice path, struct slice bytes, mode_t mode,
	const struct timespec *mtime, bool durable);

/* -ENOSPC where the tree is full; otherwise the write, counted. Returns bytes or a negative errno. */
ssize_t scratch_pwrite(struct scratch *scratch, int fd, const void *bytes, size_t len, off_t offset,
	bool append);
int scratch_fallocate(struct scratch *scratch, int fd, int mode, off_t offset, off_t len);
int scratch_ftruncate(struct scratch *scratch, int fd, off_t size);
/*
 * What O_TRUNC asks for of a file that O_CREAT may just have made. An empty one is left alone: ext4 takes a file that was
 * truncated for one that is being replaced, and writes it to the disk when it is closed.
 */
int scratch_empty(struct scratch *scratch, int fd);

/*
 * A number that goes with a file (as an extended attribute): an empty new document keeps the inode
 * number that it will have. get: 0 when there is none, or the backing file system has no place for it.
 */
void scratch_set_number(int fd, uint64_t number);
uint64_t scratch_get_number(struct scratch *scratch, struct slice path);

/* For changes through a descriptor that are none of those above (modes, times). */
void scratch_changed(struct scratch *scratch);
/*
 * All that was changed is on disk, safe from power loss; also where another's call, which is waited for, brings it there.
 */
int scratch_sync(struct scratch *scratch, struct err *err);
/* Of one directory; 0 where none is there. */
int scratch_sync_directory(struct scratch *scratch, struct slice path);
/* Of the one that path's last name is in. */
int scratch_sync_name(struct scratch *scratch, struct slice path);
/* A sync of names begins. */
void scratch_promise(struct scratch *scratch);
/* May it be that a sync has promised the name? True rather than not. */
bool scratch_may_be_promised(struct scratch *scratch, struct slice path);

/* A directory's names, without "." and ".."; type is DT_DIR or DT_REG. A negative return stops. */
typedef int scratch_list_fn(void *context, struct slice name, unsigned char type, uint64_t ino);
int scratch_list(struct scratch *scratch, struct slice path, scratch_list_fn *fn, void *context);
/* 0, or -ENOTEMPTY, -ENOENT ... */
int scratch_is_empty(struct scratch *scratch, struct slice path);

#endif
