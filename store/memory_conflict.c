/* SPDX-License-Identifier: MIT */
#include "memory_event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "write_all.h"

static int open_below(int dir_fd, const char *name)
{
	if (mkdirat(dir_fd, name, 0700) && errno != EEXIST)
		return -errno;
	dir_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return dir_fd < 0 ? -errno : dir_fd;
}

/* Writes all of it, syncs and closes. */
static int write_and_close(int fd, struct slice bytes)
{
	int ret = write_all(fd, bytes.ptr, bytes.len);

	if (!ret && fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

/* In one step, as someone may be reading it, through a name that is this thread's. */
static int write_file(struct memory *m, int dir_fd, const char *name, struct slice bytes)
{
	int staging = open_below(m->dir.dir_fd, "staging");
	char staged[32];
	int ret, fd;

	if (staging < 0)
		return staging;
	snprintf(staged, sizeof(staged), "%d", (int)gettid());
	unlinkat(staging, staged, 0);
	fd = openat(staging, staged, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ret = fd < 0 ? -errno : write_and_close(fd, bytes);
	if (!ret && renameat(staging, staged, dir_fd, name))
		ret = -errno;
	if (ret)
		unlinkat(staging, staged, 0);
	close(staging);
	return ret;
}

int memory_keep_conflict(struct memory *m, struct slice path, struct slice text)
{
	const struct memory_done done = {.name = "conflict", .path = path};
	struct buf bytes = BUF_INIT;
	struct buf names = BUF_INIT;
	char *name, *slash;
	int dir, ret;

	if (m->options.read_only) /* it stays where it is */
		return 0;
	ret = memory_value_show(m, text, &bytes, NULL);

	if (!ret)
		text = buf_slice(&bytes);
	dir = ret && ret != -EFBIG ? ret : open_below(m->dir.dir_fd, "conflicts");
	buf_add_slice(&names, path);
	name = buf_cstr(&names) ? names.ptr : NULL;
	ret = dir < 0 ? dir : name ? 0 : -ENOMEM;
	while (!ret && (slash = strchr(name, '/'))) {
		int below;

		*slash = '\0';
		below = open_below(dir, name);
		close(dir);
		dir = below;
		ret = below < 0 ? below : 0;
		name = slash + 1;
	}
	if (!ret)
		ret = write_file(m, dir, name, text);
	if (dir >= 0)
		close(dir);
	if (!ret)
		memory_tell_done(m, &done);
	buf_release(&names);
	buf_release(&bytes);
	return ret;
}

static int write_new(const char *name, const struct buf *copy)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : write_and_close(fd, buf_slice(copy));
}

int memory_set_aside(struct memory *m, const struct buf *copy, char kept[SET_ASIDE_NAME],
	struct err *err)
{
	struct buf name = BUF_INIT;
	struct stat st;
	int ret = lstat(m->edn_path, &st) ? -errno : -EEXIST;

	kept[0] = '\0';
	for (unsigned i = 0; ret == -EEXIST && i < 1000; i++) {
		buf_reset(&name);
		buf_add_format(&name, "%s.bad-%lld", m->edn_path, (long long)time(NULL));
		if (i)
			buf_add_format(&name, "-%u", i);
		if (!buf_cstr(&name))
			ret = -ENOMEM;
		else if (copy)
			ret = write_new(name.ptr, copy);
		else
			ret = renameat2(AT_FDCWD, m->edn_path, AT_FDCWD, name.ptr, RENAME_NOREPLACE)
				      ? -errno
				      : 0;
	}
	if (!ret && name.ptr)
		snprintf(kept, SET_ASIDE_NAME, "%s", strrchr(name.ptr, '/') + 1);
	if (ret == -ENOENT)
		ret = 0;
	buf_release(&name);
	return ret ? err_set(err, ret, "cannot set memory.edn aside: %s", strerror(-ret)) : 0;
}

bool memory_is_beside(const struct memory *m, const char *name)
{
	struct buf path = BUF_INIT;
	struct stat st;
	bool gone;

	if (!name[0])
		return false;
	buf_add_format(&path, "%.*s/%s", (int)(strrchr(m->edn_path, '/') - m->edn_path),
		m->edn_path, name);
	gone = buf_cstr(&path) && lstat(path.ptr, &st) && errno == ENOENT;
	buf_release(&path);
	return !gone;
}
