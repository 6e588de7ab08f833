/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_DAEMON_H
#define OUROFS_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

/*
 * Going to the background. The fork comes first, before any state is opened or thread started; the
 * parent stays until the mount answers, so that its exit status is the mount's:
 *
 *	ret = daemon_fork(&daemon, mountpoint, &err);
 *	if (daemon.pid > 0)
 *		return daemon_wait(&daemon, mountpoint, &err);  // the parent
 *	... open the state, mount; say on stderr what went wrong ...
 *	daemon_ready(&daemon);                                  // just before the loop
 *
 * Until daemon_ready the child keeps its standard error; afterwards that is /dev/null.
 */
struct daemon {
	pid_t pid;   /* the child's, in the parent; 0 in the child */
	int pipe;    /* the parent's end to read, or the child's to write; -1 none */
	dev_t under; /* the file system that the mountpoint is on, before the mount */
};

/* The child has a session of its own and works in "/". Paths must be absolute from here on. */
int daemon_fork(struct daemon *daemon, const char *mountpoint, struct err *err);
/*
 * In the parent: 0 when the child is ready and the mountpoint answers. -ECHILD with an empty reason
 * when the child has failed and said why; other errors carry a reason.
 */
int daemon_wait(struct daemon *daemon, const char *mountpoint, struct err *err);
/* In the child. */
void daemon_ready(struct daemon *daemon);

#endif
