/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LOCKS_H
#define OUROFS_LOCKS_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

/*
 * flock(2) and fcntl(2) locks, kept by file and not by node: the versions of one document are many
 * inodes to the kernel, whose own locks would not meet. A file is named by its st_ino, the owner of
 * fcntl locks by the kernel's lock_owner (a process's table of descriptors, or an open file for OFD
 * locks), an open file by a handle (fi->fh): the owner of flocks, and what fcntl locks are set through.
 *
 * lock_owner is an address in the kernel, which the next open file may get before the RELEASE of the
 * last one, sent behind its back, has come. So all that ends with an open file goes by the handle.
 *
 * The two kinds of lock do not see each other, as on any local file system. Waiting callers hold no
 * thread: the request is kept and answered when the lock comes free or the caller is interrupted
 * (-EINTR). Deadlocks between fcntl owners are found (-EDEADLK). As Linux's own: changing a flock's
 * kind gives the old one up first; who has waited longest is served first, but no one is
 * kept from a lock that is free. Any thread may call anything; no function calls back into the
 * file system. The caller holds none of its own mutexes that a reply's path needs.
 */
struct locks;

int locks_new(struct locks **locks);
/*
 * Answers everyone who waits with -ENOLCK, and from now on whoever would have to. Call it while the
 * session is still there: requests die with it.
 */
void locks_stop(struct locks *locks);
/* Takes NULL. Waiters that locks_stop did not answer are forgotten, their requests not touched. */
void locks_free(struct locks *locks);

/* Each answers the request, now or later. op: LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB or not. */
void locks_flock(struct locks *locks, fuse_req_t req, uint64_t ino, uint64_t handle, int op);
/* fcntl: lock as FUSE gives it (l_start, l_len from the file's start, l_type), sleep for F_SETLKW. */
void locks_getlk(struct locks *locks, fuse_req_t req, uint64_t ino, uint64_t owner,
	const struct flock *lock);
void locks_setlk(struct locks *locks, fuse_req_t req, uint64_t ino, uint64_t owner, uint64_t handle,
	const struct flock *lock, int sleep);

/*
 * Giving up: at FLUSH the fcntl locks of that owner; at every RELEASE, before the handle can be
 * another's, all that was locked through it. (FOPEN_NOFLUSH keeps the FLUSH of readers away, and
 * OFD locks never have one.)
 */
void locks_drop_posix(struct locks *locks, uint64_t ino, uint64_t owner);
void locks_drop_handle(struct locks *locks, uint64_t ino, uint64_t handle);

#endif
