/* SPDX-License-Identifier: MIT */
#include "copy_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct err *err, const char *name)
{
	int code = -errno;

	return err_set(err, code, "%s: %s", name, strerror(-code));
}

/* ---- one file ---- */

static int copy_bytes(int from, int to, off_t at, off_t end)
{
	char part[1 << 16];

	while (at < end) {
		size_t want = (size_t)(end - at) < sizeof(part) ? (size_t)(end - at) : sizeof(part);
		ssize_t got = pread(from, part, want, at);

		if (got < 0 && errno != EINTR)
			return -1;
		if (got == 0)
			return 0; /* it was cut meanwhile */
		for (ssize_t put = 0, n; put < got; put += n) {
			n = pwrite(to, part + put, (size_t)(got - put), at + put);
			if (n < 0 && errno != EINTR)
				return -1;
			n = n < 0 ? 0 : n;
		}
		at += got > 0 ? got : 0;
	}
	return 0;
}

static int copy_data(int from, int to, off_t size)
{
	off_t end = 0;

	while (end < size) {
		off_t data = lseek(from, end, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			break; /* a hole up to its end */
		if (data < 0)
			data = end;
		end = lseek(from, data, SEEK_HOLE);
		if (end < 0 || end > size)
			end = size;
		if (copy_bytes(from, to, data, end))
			return -1;
	}
	return ftruncate(to, size);
}

int copy_file(int from_fd, int to_dir, const char *name, struct err *err)
{
	struct timespec times[2];
	struct stat st;
	int fd = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int ret = 0;

	if (fd < 0)
		return fail(err, name);
	if (fstat(from_fd, &st) || copy_data(from_fd, fd, st.st_size) ||
		fchmod(fd, st.st_mode & 0777))
		ret = fail(err, name);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if (!ret && futimens(fd, times))
		ret = fail(err, name);
	if (close(fd) && !ret)
		ret = fail(err, name);
	return ret;
}

/* ---- all below a directory ---- */

struct copying {
	const char *to;
	size_t from_len;
	size_t *skipped;
};

static int to_path(const struct copying *c, const FTSENT *entry, char path[4096], struct err *err)
{
	if (snprintf(path, 4096, "%s%s", c->to, entry->fts_path + c->from_len) >= 4096)
		return err_set(err, -ENAMETOOLONG, "%s: %s", entry->fts_path,
			strerror(ENAMETOOLONG));
	return 0;
}

static int copy_one(const FTSENT *entry, const char *to, struct err *err)
{
	int from = open(entry->fts_accpath, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int ret;

	if (from < 0)
		return errno == ENOENT ? 0 : fail(err, entry->fts_path);
	ret = copy_file(from, AT_FDCWD, to, err);
	close(from);
	return ret;
}

static int copy_entry(const struct copying *c, const FTSENT *entry, struct err *err)
{
	char to[4096];
	int ret = to_path(c, entry, to, err);

	if (ret)
		return ret;
	switch (entry->fts_info) {
	case FTS_D:
		/* its own mode when all is in it */
		return mkdir(to, 0700) && errno != EEXIST ? fail(err, to) : 0;
	case FTS_DP:
		if (chmod(to, entry->fts_statp->st_mode & 0777) ||
			utimensat(AT_FDCWD, to,
				(struct timespec[]){
					entry->fts_statp->st_atim, entry->fts_statp->st_mtim},
				0))
			return fail(err, to);
		return 0;
	case FTS_F:
		return copy_one(entry, to, err);
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		if (entry->fts_errno == ENOENT)
			return 0;
		return err_set(err, -entry->fts_errno, "%s: %s", entry->fts_path,
			strerror(entry->fts_errno));
	default:
		(*c->skipped)++;
		return 0;
	}
}

int copy_tree(const char *from, const char *to, size_t *skipped, struct err *err)
{
	char *paths[] = {(char *)from, NULL};
	struct copying c = {to, strlen(from), skipped};
	FTSENT *entry;
	FTS *fts;
	int ret = 0;

	if (access(from, F_OK))
		return err_set(err, -errno, "%s: %s", from, strerror(errno));
	fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!fts)
		return fail(err, from);
	while (!ret && (errno = 0, entry = fts_read(fts)))
		ret = copy_entry(&c, entry, err);
	if (!ret && errno)
		ret = fail(err, from);
	fts_close(fts);
	return ret;
}

void remove_tree(const char *path)
{
	char *paths[] = {(char *)path, NULL};
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	while (fts && (entry = fts_read(fts)))
		if (entry->fts_info != FTS_D)
			remove(entry->fts_accpath);
	if (fts)
		fts_close(fts);
}
