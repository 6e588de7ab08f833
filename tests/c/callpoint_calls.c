/* SPDX-License-Identifier: MIT */
/* The calls on files. */
#include "callpoint.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PARTS_MAX = 64, SYSCALL_WORDS = 6 };

static bool is_halved(unsigned long n)
{
	return callpoint_is(n, SIDE_TORN) || callpoint_is(n, SIDE_SHORT);
}

/* The first half of the bytes. */
static int halve(const struct iovec *parts, int count, struct iovec out[PARTS_MAX])
{
	size_t left = 0;
	int used = 0;

	for (int i = 0; i < count; i++)
		left += parts[i].iov_len;
	left /= 2;
	for (; used < count && used < PARTS_MAX && left; used++) {
		out[used] = parts[used];
		if (out[used].iov_len > left)
			out[used].iov_len = left;
		left -= out[used].iov_len;
	}
	return used;
}

/* A call on fd, or on path where that is not NULL. */
#define COUNTED(type, name, kind, params, fd, path, arguments)            \
	type name params                                                  \
	{                                                                 \
		NEXT(type, name, params);                                 \
		unsigned long n = callpoint_enter(kind, #name, fd, path); \
		type result;                                              \
		if (callpoint_fails(n))                                   \
			return (type)(intptr_t)-1;                        \
		result = next arguments;                                  \
		return callpoint_leave(n) ? (type)(intptr_t)-1 : result;  \
	}

#define CALL(type, name, params, fd, path, arguments) \
	COUNTED(type, name, COUNTS_CHANGES, params, fd, path, arguments)
#define LOOK(type, name, params, fd, path, arguments) \
	COUNTED(type, name, COUNTS_CALLS, params, fd, path, arguments)

/* A call that moves what `part` are the arguments for half of. */
#define MOVE(name, kind, params, fd, arguments, part)                     \
	ssize_t name params                                               \
	{                                                                 \
		NEXT(ssize_t, name, params);                              \
		unsigned long n = callpoint_enter(kind, #name, fd, NULL); \
		ssize_t result;                                           \
		if (callpoint_fails(n))                                   \
			return -1;                                        \
		result = is_halved(n) ? next part : next arguments;       \
		return callpoint_leave(n) ? -1 : result;                  \
	}

#define MOVE_PARTS(name, kind, params, fd, arguments, part)                \
	ssize_t name params                                                \
	{                                                                  \
		NEXT(ssize_t, name, params);                               \
		struct iovec half[PARTS_MAX];                              \
		unsigned long n = callpoint_enter(kind, #name, fd, NULL);  \
		int halves = is_halved(n) ? halve(parts, count, half) : 0; \
		ssize_t result;                                            \
		if (callpoint_fails(n))                                    \
			return -1;                                         \
		result = halves ? next part : next arguments;              \
		return callpoint_leave(n) ? -1 : result;                   \
	}

#define WRITE(name, params, fd, arguments, part) \
	MOVE(name, COUNTS_CHANGES, params, fd, arguments, part)
#define READ(name, params, fd, arguments, part) \
	MOVE(name, COUNTS_CALLS, params, fd, arguments, part)
#define WRITE_PARTS(name, params, fd, arguments, part) \
	MOVE_PARTS(name, COUNTS_CHANGES, params, fd, arguments, part)

WRITE(write, (int fd, const void *bytes, size_t len), fd, (fd, bytes, len), (fd, bytes, len / 2))
WRITE(pwrite, (int fd, const void *bytes, size_t len, off_t at), fd, (fd, bytes, len, at),
	(fd, bytes, len / 2, at))
WRITE(pwrite64, (int fd, const void *bytes, size_t len, off64_t at), fd, (fd, bytes, len, at),
	(fd, bytes, len / 2, at))
WRITE_PARTS(writev, (int fd, const struct iovec *parts, int count), fd, (fd, parts, count),
	(fd, half, halves))
WRITE_PARTS(pwritev, (int fd, const struct iovec *parts, int count, off_t at), fd,
	(fd, parts, count, at), (fd, half, halves, at))
WRITE_PARTS(pwritev64, (int fd, const struct iovec *parts, int count, off64_t at), fd,
	(fd, parts, count, at), (fd, half, halves, at))
WRITE_PARTS(pwritev2, (int fd, const struct iovec *parts, int count, off_t at, int flags), fd,
	(fd, parts, count, at, flags), (fd, half, halves, at, flags))
WRITE_PARTS(pwritev64v2, (int fd, const struct iovec *parts, int count, off64_t at, int flags), fd,
	(fd, parts, count, at, flags), (fd, half, halves, at, flags))
WRITE(copy_file_range,
	(int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags), to,
	(from, from_at, to, to_at, len, flags), (from, from_at, to, to_at, len / 2, flags))
/* One byte of two, not none: that would be the end of the file. */
#define HALF(len) (((len) + 1) / 2)
READ(read, (int fd, void *bytes, size_t len), fd, (fd, bytes, len), (fd, bytes, HALF(len)))
READ(pread, (int fd, void *bytes, size_t len, off_t at), fd, (fd, bytes, len, at),
	(fd, bytes, HALF(len), at))
READ(pread64, (int fd, void *bytes, size_t len, off64_t at), fd, (fd, bytes, len, at),
	(fd, bytes, HALF(len), at))

CALL(int, fsync, (int fd), fd, NULL, (fd))
CALL(int, fdatasync, (int fd), fd, NULL, (fd))
CALL(int, syncfs, (int fd), fd, NULL, (fd))
CALL(int, sync_file_range, (int fd, off64_t at, off64_t len, unsigned flags), fd, NULL,
	(fd, at, len, flags))
CALL(int, msync, (void *at, size_t len, int flags), AT_FDCWD, "", (at, len, flags))
CALL(int, ftruncate, (int fd, off_t size), fd, NULL, (fd, size))
CALL(int, ftruncate64, (int fd, off64_t size), fd, NULL, (fd, size))
CALL(int, fallocate, (int fd, int mode, off_t at, off_t len), fd, NULL, (fd, mode, at, len))
CALL(int, fallocate64, (int fd, int mode, off64_t at, off64_t len), fd, NULL, (fd, mode, at, len))
CALL(int, fchmod, (int fd, mode_t mode), fd, NULL, (fd, mode))
CALL(int, futimens, (int fd, const struct timespec times[2]), fd, NULL, (fd, times))
CALL(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags), fd,
	NULL, (fd, name, value, size, flags))

LOOK(int, fstatat, (int dir, const char *path, struct stat *st, int flags), dir, path,
	(dir, path, st, flags))
LOOK(int, fstatat64, (int dir, const char *path, struct stat64 *st, int flags), dir, path,
	(dir, path, st, flags))
LOOK(void *, mmap, (void *to, size_t len, int protection, int flags, int fd, off_t at), fd, NULL,
	(to, len, protection, flags, fd, at))
LOOK(void *, mmap64, (void *to, size_t len, int protection, int flags, int fd, off64_t at), fd,
	NULL, (to, len, protection, flags, fd, at))
LOOK(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), AT_FDCWD, path,
	(fd, path, mask))

CALL(int, rename, (const char *from, const char *to), AT_FDCWD, to, (from, to))
CALL(int, renameat, (int from_dir, const char *from, int to_dir, const char *to), to_dir, to,
	(from_dir, from, to_dir, to))
CALL(int, renameat2, (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
	to_dir, to, (from_dir, from, to_dir, to, flags))
CALL(int, link, (const char *from, const char *to), AT_FDCWD, to, (from, to))
CALL(int, linkat, (int from_dir, const char *from, int to_dir, const char *to, int flags), to_dir,
	to, (from_dir, from, to_dir, to, flags))
CALL(int, unlink, (const char *path), AT_FDCWD, path, (path))
CALL(int, unlinkat, (int dir, const char *path, int flags), dir, path, (dir, path, flags))
CALL(int, rmdir, (const char *path), AT_FDCWD, path, (path))
CALL(int, mkdir, (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))
CALL(int, mkdirat, (int dir, const char *path, mode_t mode), dir, path, (dir, path, mode))
CALL(int, utimensat, (int dir, const char *path, const struct timespec times[2], int flags), dir,
	path, (dir, path, times, flags))
CALL(int, creat, (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))

static bool makes(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* No open that fails has made a file. */
static bool never_opens(unsigned long n)
{
	return callpoint_is(n, SIDE_DONE) ? callpoint_leave(n) : callpoint_fails(n);
}

/* An open, which may make a file. */
#define OPEN(name, params, last, dir, arguments)                                                \
	int name params                                                                         \
	{                                                                                       \
		NEXT(int, name, params);                                                        \
		unsigned long n = callpoint_enter(makes(flags) ? COUNTS_CHANGES : COUNTS_CALLS, \
			#name, dir, path);                                                      \
		mode_t mode = 0;                                                                \
		int result;                                                                     \
		if (never_opens(n))                                                             \
			return -1;                                                              \
		if (makes(flags)) {                                                             \
			va_list more;                                                           \
			va_start(more, last);                                                   \
			mode = va_arg(more, mode_t);                                            \
			va_end(more);                                                           \
		}                                                                               \
		result = next arguments;                                                        \
		return callpoint_leave(n) ? -1 : result;                                        \
	}

OPEN(open, (const char *path, int flags, ...), flags, AT_FDCWD, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), flags, AT_FDCWD, (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), flags, dir, (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), flags, dir, (dir, path, flags, mode))

/* openat2 has no function of its own. */
long syscall(long number, ...)
{
	NEXT(long, syscall, (long number, ...));
	unsigned long n = 0;
	long words[SYSCALL_WORDS];
	va_list more;
	long result;

	va_start(more, number);
	for (int i = 0; i < SYSCALL_WORDS; i++)
		words[i] = va_arg(more, long);
	va_end(more);
	if (number == SYS_openat2)
		n = callpoint_enter(makes((int)((const struct open_how *)words[2])->flags)
					    ? COUNTS_CHANGES
					    : COUNTS_CALLS,
			"openat2", (int)words[0], (const char *)words[1]);
	if (callpoint_fails(n))
		return -1;
	result = next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
	return callpoint_leave(n) ? -1 : result;
}
