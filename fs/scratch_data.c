/* SPDX-License-Identifier: MIT */
/* Bytes of scratch files: whole ones, and pieces with the tree's size kept. */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

int scratch_read_whole(struct scratch *scratch, struct slice path, size_t max, struct buf *bytes,
	struct stat *st)
{
	int fd = scratch_openfile(scratch, path, O_RDONLY, 0);
	size_t start = bytes->len;
	int ret = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, st))
		ret = -errno;
	else if (!S_ISREG(st->st_mode))
		ret = -EISDIR;
	while (!ret) {
		char *to = buf_reserve(bytes, 65536);
		ssize_t got = to ? read(fd, to, 65536) : -1;

		if (!to)
			ret = -ENOMEM;
		else if (got < 0)
			ret = errno == EINTR ? 0 : -errno;
		else if (got == 0)
			break;
		else if ((bytes->len += (size_t)got) - start > max)
			ret = -EFBIG;
	}
	close(fd);
	return ret;
}

static int write_all(struct scratch *scratch, int fd, struct slice bytes)
{
	size_t done = 0;

	while (done < bytes.len) {
		ssize_t put = scratch_pwrite(scratch, fd, bytes.ptr + done, bytes.len - done,
			(off_t)done, false);

		if (put < 0)
			return (int)put;
		done += (size_t)put;
	}
	return 0;
}

/* After a failure of the disk a name may be there all the same. */
static bool is_at(int fd, int dir, const char *name)
{
	struct stat file, there;

	return fstat(fd, &file) == 0 && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       file.st_dev == there.st_dev && file.st_ino == there.st_ino;
}

/* Puts the finished staging file at path, replacing what stands there. fd: of that file. */
static int publish(struct scratch *scratch, const char *staged, int fd, struct slice path)
{
	char buffer[PATH_MAX];
	char *name;
	struct stat replaced;
	int ret = 0;
	int dir;

	pthread_rwlock_rdlock(&scratch->pruning);
	dir = scratch_open_parent(scratch, path, buffer, &name);
	if (dir < 0) {
		pthread_rwlock_unlock(&scratch->pruning);
		return dir;
	}
	if (fstatat(dir, name, &replaced, AT_SYMLINK_NOFOLLOW))
		replaced.st_blocks = 0;
	if (renameat(scratch->staging, staged, dir, name))
		ret = -errno;
	if (ret && is_at(fd, dir, name))
		ret = 0;
	if (!ret)
		scratch->used_bytes -= (long long)replaced.st_blocks * 512;
	close(dir);
	pthread_rwlock_unlock(&scratch->pruning);
	scratch_changed(scratch);
	return ret;
}

int scratch_write_whole(struct scratch *scratch, struct slice path, struct slice bytes, mode_t mode,
	const struct timespec *mtime, bool durable)
{
	struct timespec times[2];
	char staged[32];
	int ret;
	int fd;

	snprintf(staged, sizeof(staged), "%d", (int)gettid());
	(void)unlinkat(scratch->staging, staged, 0);
	fd = openat(scratch->staging, staged, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		0600);
	if (fd < 0)
		return -errno;
	ret = write_all(scratch, fd, bytes);
	if (!ret && fchmod(fd, mode & SCRATCH_MODE))
		ret = -errno;
	if (!ret && mtime) {
		times[0] = times[1] = *mtime;
		ret = futimens(fd, times) ? -errno : 0;
	}
	if (!ret && durable && fsync(fd))
		ret = -errno;
	if (!ret)
		ret = publish(scratch, staged, fd, path);
	if (ret) {
		(void)scratch_ftruncate(scratch, fd, 0);
		(void)unlinkat(scratch->staging, staged, 0);
	}
	close(fd);
	return ret;
}

static long long blocks_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (long long)st.st_blocks * 512;
}

/* Sizes may be as large as they can be. */
static bool has_room(const struct scratch *scratch, long long more)
{
	return !scratch->max_bytes || more <= (long long)scratch->max_bytes - scratch->used_bytes;
}

ssize_t scratch_pwrite(struct scratch *scratch, int fd, const void *bytes, size_t len, off_t offset,
	bool append)
{
	long long before = blocks_of(fd);
	ssize_t put;

	if (!has_room(scratch, (long long)len)) {
		struct stat st;

		/* Full: what overwrites bytes that are there already takes no more room. */
		if (append || fstat(fd, &st) || offset > st.st_size - (off_t)len)
			return -ENOSPC;
	}
	do {
		put = append ? write(fd, bytes, len) : pwrite(fd, bytes, len, offset);
	} while (put < 0 && errno == EINTR);
	if (put < 0)
		return -errno;
	scratch->used_bytes += blocks_of(fd) - before;
	scratch_changed(scratch);
	return put;
}

int scratch_fallocate(struct scratch *scratch, int fd, int mode, off_t offset, off_t len)
{
	long long before = blocks_of(fd);

	if (!(mode & FALLOC_FL_PUNCH_HOLE) && !has_room(scratch, len))
		return -ENOSPC;
	if (fallocate(fd, mode, offset, len))
		return -errno;
	scratch->used_bytes += blocks_of(fd) - before;
	scratch_changed(scratch);
	return 0;
}

int scratch_ftruncate(struct scratch *scratch, int fd, off_t size)
{
	long long before = blocks_of(fd);

	if (ftruncate(fd, size))
		return -errno;
	scratch->used_bytes += blocks_of(fd) - before;
	scratch_changed(scratch);
	return 0;
}

int scratch_empty(struct scratch *scratch, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	return st.st_size ? scratch_ftruncate(scratch, fd, 0) : 0;
}

static const char NUMBER[] = "user.ourofs.ino";

void scratch_set_number(int fd, uint64_t number)
{
	(void)fsetxattr(fd, NUMBER, &number, sizeof(number), 0);
}

uint64_t scratch_get_number(struct scratch *scratch, struct slice path)
{
	int fd = scratch_openfile(scratch, path, O_RDONLY, 0);
	uint64_t number;

	if (fd < 0)
		return 0;
	if (fgetxattr(fd, NUMBER, &number, sizeof(number)) != (ssize_t)sizeof(number))
		number = 0;
	close(fd);
	return number;
}
