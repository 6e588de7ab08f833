/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_GUARDIAN_H
#define OUROFS_GUARDIAN_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <sys/types.h>

#include "err.h"

/*
 * A process that does for the daemon what a confined one may not (confine.h), and looks after the mount
 * when the daemon can do so no more. It shares no memory and no descriptor with the daemon, and has
 * never seen a document.
 *
 *	guardian_start(&guardian, &args, mountpoint, &err);	// before anything is opened
 *	confine(options, &err);
 *	... open the memory ...
 *	fd = guardian_mount(&guardian);				// for fuse_session_mount
 *	... serve ...
 *	guardian_unmount(&guardian, session, &err);
 *	guardian_stop(&guardian);
 *
 * It mounts and unmounts, by libfuse: for users other than root that takes fusermount3, whose setuid bit
 * no_new_privs takes away; and a process under Landlock changes no mounts at all.
 *
 * When the daemon dies without unmounting it aborts the mount's connection, so that whoever waits for an
 * answer gets an error. The kernel aborts it by itself when the daemon's last thread has gone. But a
 * thread that tells the kernel of a stale name may wait, where no signal reaches it, for a directory that
 * is locked by someone who waits for the daemon: killed then, neither would ever go on. The kernel tells
 * of the daemon's end (PR_SET_PDEATHSIG), by the thread that started the guardian: the main one. A core
 * dump would delay that; there is none (confine_secrets).
 */
struct guardian {
	pid_t pid;  /* 0: there is none */
	int socket; /* to it; closed, it ends */
};

#define GUARDIAN_NONE ((struct guardian){0, -1})

/* args, for fuse_session_new, stay the caller's and must outlive the mount. */
int guardian_start(struct guardian *guardian, struct fuse_args *args, const char *mountpoint,
	struct err *err);
/* The FUSE device, a descriptor of the caller's; or -EIO, when libfuse has said why, or the guardian is gone. */
int guardian_mount(struct guardian *guardian);
/*
 * Aborts the connection, so that nobody waits for an answer any more, and unmounts, unless someone has done so or it was
 * aborted before. That the session's device is closed would not do: a thread that tells the kernel of a stale name keeps it
 * open, and may wait for a directory as above. -EIO: it can't be done, and the mount is left.
 */
int guardian_unmount(struct guardian *guardian, struct fuse_session *session, struct err *err);
/* Waits for its end. */
void guardian_stop(struct guardian *guardian);

#endif
