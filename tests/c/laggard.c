/* SPDX-License-Identifier: MIT */
/*
 * A library for LD_PRELOAD by which the kernel is told of no stale name while the file OUROFS_LAGGARD is there, as on
 * a machine whose other work comes first.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

struct fuse_session;

static const char *path; /* set before main */

__attribute__((constructor)) static void arm(void)
{
	const char *value = getenv("OUROFS_LAGGARD");

	path = value ? strdup(value) : NULL;
	unsetenv("OUROFS_LAGGARD");
	unsetenv("LD_PRELOAD");
}

int fuse_lowlevel_notify_inval_entry(struct fuse_session *session, uint64_t parent,
	const char *name, size_t len);

int fuse_lowlevel_notify_inval_entry(struct fuse_session *session, uint64_t parent,
	const char *name, size_t len)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	NEXT(int, fuse_lowlevel_notify_inval_entry,
		(struct fuse_session *, uint64_t, const char *, size_t));

	while (path && access(path, F_OK) == 0)
		nanosleep(&pause, NULL);
	return next(session, parent, name, len);
}
