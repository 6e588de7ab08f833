/* SPDX-License-Identifier: MIT */
/*
 * A library for LD_PRELOAD by which things are late, as on a machine whose other work comes first.
 *
 *   OUROFS_LAGGARD=PATH   while PATH is there, the kernel is told of no stale name; while PATH.syncfs or PATH.mkdirat
 *                         is there, that call does not begin, and PATH.waits is made
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static void wait_while(const char *file)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	while (access(file, F_OK) == 0)
		nanosleep(&pause, NULL);
}

static void be_late(const char *call)
{
	char file[4096], waits[4096];
	int fd;

	if (!path)
		return;
	snprintf(file, sizeof(file), "%s.%s", path, call);
	if (access(file, F_OK))
		return;
	snprintf(waits, sizeof(waits), "%s.waits", path);
	fd = open(waits, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	wait_while(file);
}

int fuse_lowlevel_notify_inval_entry(struct fuse_session *session, uint64_t parent,
	const char *name, size_t len);

int fuse_lowlevel_notify_inval_entry(struct fuse_session *session, uint64_t parent,
	const char *name, size_t len)
{
	NEXT(int, fuse_lowlevel_notify_inval_entry,
		(struct fuse_session *, uint64_t, const char *, size_t));

	if (path)
		wait_while(path);
	return next(session, parent, name, len);
}

int syncfs(int fd)
{
	NEXT(int, syncfs, (int fd));
	be_late("syncfs");
	return next(fd);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	NEXT(int, mkdirat, (int dir, const char *name, mode_t mode));
	be_late("mkdirat");
	return next(dir, name, mode);
}
