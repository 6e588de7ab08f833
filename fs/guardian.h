/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_GUARDIAN_H
#define OUROFS_GUARDIAN_H

#include <sys/types.h>

/*
 * A process that does nothing until the daemon dies without unmounting, and then aborts the mount's
 * connection, so that whoever waits for an answer gets an error.
 *
 * The kernel aborts it by itself when the daemon's last thread has gone. But a thread that tells the
 * kernel of a stale name may wait, where no signal reaches it, for a directory that is locked by someone
 * who waits for the daemon: killed then, neither would ever go on. The guardian shares no memory
 * and no descriptor with the daemon; the kernel tells it of the daemon's end (PR_SET_PDEATHSIG). So that
 * this comes when a signal ends it that dumps core, there is no core: what it would hold is secret anyway.
 */
struct guardian {
	pid_t pid; /* 0: there is none */
};

/* Called by the main thread once the mount is there. Without a guardian all else works: no error. */
void guardian_start(struct guardian *guardian, const char *mountpoint);
void guardian_stop(struct guardian *guardian);

#endif
