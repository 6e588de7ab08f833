/* SPDX-License-Identifier: MIT */
/*
 * A library for LD_PRELOAD by which things are late, as on a machine whose other work comes first.
 *
 *   OUROFS_LAGGARD=PATH   while PATH is there, the kernel is told of no stale name
 *
 * While one of these is there:
 *   PATH.syncfs, PATH.mkdirat, PATH.fdatasync, PATH.renameat2
 *                                               that call does not begin, and PATH.waits is made; where PATH.fdatasync
 *                                               has a line, only of files whose path ends so
 *   PATH.renamed                                who has answered a rename does no more, and PATH.waits is made
 *   PATH.threads                                no thread can be started
 *   PATH.jitter                                 the kernel is told of a stale name, and RELEASE is done, up to 20 ms late
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "preload.h"

enum { JITTER_US = 20000 };

static const char *path;                  /* set before main */
static struct fuse_lowlevel_ops original; /* set before the first request */
static _Thread_local bool renaming;

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

enum { FILE_MAX = 4096 };

/* Is PATH.word there? Then that is file. */
static bool is_there(char *file, const char *word)
{
	if (!path)
		return false;
	snprintf(file, FILE_MAX, "%s.%s", path, word);
	return access(file, F_OK) == 0;
}

static void be_late(const char *call)
{
	char file[FILE_MAX], waits[FILE_MAX];
	int fd;

	if (!is_there(file, call))
		return;
	snprintf(waits, sizeof(waits), "%s.waits", path);
	fd = open(waits, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	wait_while(file);
}

/* In two of three cases. */
static void jitter(void)
{
	static _Thread_local unsigned seed;
	char file[FILE_MAX];

	if (!is_there(file, "jitter"))
		return;
	if (!seed)
		seed = (unsigned)gettid();
	if (rand_r(&seed) % 3)
		usleep((useconds_t)rand_r(&seed) % JITTER_US);
}

int fuse_lowlevel_notify_inval_entry(struct fuse_session *session, fuse_ino_t parent,
	const char *name, size_t len)
{
	NEXT(int, fuse_lowlevel_notify_inval_entry,
		(struct fuse_session *, fuse_ino_t, const char *, size_t));

	if (path)
		wait_while(path);
	jitter();
	return next(session, parent, name, len);
}

static void rename_and_rest(fuse_req_t req, fuse_ino_t parent, const char *name,
	fuse_ino_t new_parent, const char *new_name, unsigned int flags)
{
	renaming = true;
	original.rename(req, parent, name, new_parent, new_name, flags);
	renaming = false;
}

int fuse_reply_err(fuse_req_t req, int error)
{
	NEXT(int, fuse_reply_err, (fuse_req_t, int));
	int ret = next(req, error);

	if (renaming)
		be_late("renamed");
	return ret;
}

static void release_late(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	jitter();
	original.release(req, ino, fi);
}

struct fuse_session *fuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *ops,
	size_t size, void *context)
{
	struct fuse_lowlevel_ops late;
	NEXT(struct fuse_session *, fuse_session_new,
		(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t, void *));

	if (!path || size != sizeof(late) || !ops->rename)
		return next(args, ops, size, context); /* the guardian's */
	original = *ops;
	late = *ops;
	late.rename = rename_and_rest;
	late.release = release_late;
	return next(args, &late, size, context);
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

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	NEXT(int, renameat2, (int, const char *, int, const char *, unsigned));

	be_late("renameat2");
	return next(from_dir, from, to_dir, to, flags);
}

static bool is_meant(const char *file, int fd)
{
	char wanted[FILE_MAX] = "", link[32], target[FILE_MAX];
	FILE *in = fopen(file, "re");
	size_t wanted_len;
	ssize_t len;

	if (!in)
		return false;
	if (!fgets(wanted, sizeof(wanted), in))
		wanted[0] = '\0';
	fclose(in);
	wanted_len = strcspn(wanted, "\n");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, target, sizeof(target));
	return len >= (ssize_t)wanted_len && !memcmp(target + len - wanted_len, wanted, wanted_len);
}

int fdatasync(int fd)
{
	char file[FILE_MAX];
	NEXT(int, fdatasync, (int fd));

	if (is_there(file, "fdatasync") && is_meant(file, fd))
		be_late("fdatasync");
	return next(fd);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
	void *context)
{
	char file[FILE_MAX];
	NEXT(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *));

	return is_there(file, "threads") ? EAGAIN : next(thread, attributes, run, context);
}
