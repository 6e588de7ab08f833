/* SPDX-License-Identifier: MIT */
/*
 * A library for LD_PRELOAD that kills a program at the n-th call by which it changes what is on disk.
 *
 *   OUROFS_KILLPOINT=FILE        counts into FILE (below); without it nothing happens
 *   OUROFS_KILLPOINT_START=FILE  counts from when that file is there; without it from the beginning
 *   OUROFS_KILLPOINT_AT=N        the call to die at (SIGKILL); without it all calls are only counted
 *   OUROFS_KILLPOINT_SIDE=WORD   before | after | torn (in its midst: half of what it was to write is)
 *
 * Counted are calls on regular files and directories, none on stdin, stdout and stderr, in the
 * process that was started, not in its children. FILE is an array of records of 128 bytes: the
 * first is the count (a native unsigned long), record n says what the n-th call was, as "NAME FILE".
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { RECORD_BYTES = 128, RECORDS = 1 << 16, PARTS_MAX = 64, SYSCALL_WORDS = 6 };

enum side { BEFORE, AFTER, TORN };

union record {
	atomic_ulong count;
	char text[RECORD_BYTES];
};

/* What the environment said; set before main, but for `started`. */
static struct {
	union record *records; /* NULL: not armed */
	pid_t pid;
	unsigned long at;
	enum side side;
	const char *start;
	atomic_bool started;
} killer;

/* What is executed by the program is not meant: it finds no trace of us. */
static const char *take(const char *name)
{
	const char *value = getenv(name);
	char *copy = value ? strdup(value) : NULL;

	unsetenv(name);
	return copy;
}

__attribute__((constructor)) static void arm(void)
{
	const char *file = take("OUROFS_KILLPOINT");
	const char *at = take("OUROFS_KILLPOINT_AT");
	const char *side = take("OUROFS_KILLPOINT_SIDE");
	void *map;
	int fd;

	killer.start = take("OUROFS_KILLPOINT_START");
	unsetenv("LD_PRELOAD");
	if (!file)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || syscall(SYS_ftruncate, fd, (off_t)RECORDS * RECORD_BYTES))
		abort();
	map = mmap(NULL, (size_t)RECORDS * RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		abort();
	close(fd);
	killer.pid = getpid();
	killer.at = at ? strtoul(at, NULL, 10) : 0;
	if (side)
		killer.side = !strcmp(side, "torn")    ? TORN
			      : !strcmp(side, "after") ? AFTER
						       : BEFORE;
	killer.records = map;
}

static _Noreturn void die(void)
{
	kill(killer.pid, SIGKILL);
	for (;;)
		pause();
}

static bool started(void)
{
	if (!killer.start || atomic_load(&killer.started))
		return true;
	if (access(killer.start, F_OK))
		return false;
	atomic_store(&killer.started, true);
	return true;
}

static bool is_counted(int fd)
{
	struct stat st;

	return fd > STDERR_FILENO && !fstat(fd, &st) &&
	       (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

static void describe(union record *record, const char *call, int fd, const char *path)
{
	char target[256] = "";
	char self[32];
	const char *last;

	if (!path) {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		if (readlink(self, target, sizeof(target) - 1) < 0)
			target[0] = '\0';
		path = target;
	}
	last = strrchr(path, '/');
	snprintf(record->text, sizeof(record->text), "%s %s", call, last ? last + 1 : path);
}

/* The number of this call, 0 where it is not counted. Does not return where it is the one, on that side. */
static unsigned long enter(const char *call, int fd, const char *path)
{
	int saved = errno;
	unsigned long n = 0;

	if (killer.records && started() && getpid() == killer.pid && (path || is_counted(fd))) {
		n = atomic_fetch_add(&killer.records->count, 1) + 1;
		if (n < RECORDS)
			describe(&killer.records[n], call, fd, path);
		if (n == killer.at && killer.side == BEFORE)
			die();
	}
	errno = saved;
	return n;
}

static bool is_torn(unsigned long n)
{
	return n && n == killer.at && killer.side == TORN;
}

static void leave(unsigned long n)
{
	if (n && n == killer.at)
		die();
}

static void *next_of(const char *name)
{
	void *next = dlsym(RTLD_NEXT, name);

	if (!next)
		abort();
	return next;
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

#define NEXT(type, name, params) \
	type(*next) params;      \
	*(void **)&next = next_of(#name)

/* A call on fd, or on path where that is not NULL. */
#define CALL(type, name, params, fd, path, arguments)     \
	type name params                                  \
	{                                                 \
		NEXT(type, name, params);                 \
		unsigned long n = enter(#name, fd, path); \
		type result = next arguments;             \
		leave(n);                                 \
		return result;                            \
	}

/* A call that writes what `part` are the arguments for half of. */
#define WRITE(name, params, fd, arguments, part)                          \
	ssize_t name params                                               \
	{                                                                 \
		NEXT(ssize_t, name, params);                              \
		unsigned long n = enter(#name, fd, NULL);                 \
		ssize_t result = is_torn(n) ? next part : next arguments; \
		leave(n);                                                 \
		return result;                                            \
	}

#define WRITE_PARTS(name, params, fd, arguments, part)                   \
	ssize_t name params                                              \
	{                                                                \
		NEXT(ssize_t, name, params);                             \
		struct iovec half[PARTS_MAX];                            \
		unsigned long n = enter(#name, fd, NULL);                \
		int halves = is_torn(n) ? halve(parts, count, half) : 0; \
		ssize_t result = halves ? next part : next arguments;    \
		leave(n);                                                \
		return result;                                           \
	}

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

CALL(int, fsync, (int fd), fd, NULL, (fd))
CALL(int, fdatasync, (int fd), fd, NULL, (fd))
CALL(int, syncfs, (int fd), fd, NULL, (fd))
CALL(int, sync_file_range, (int fd, off64_t at, off64_t len, unsigned flags), fd, NULL,
	(fd, at, len, flags))
CALL(int, msync, (void *at, size_t len, int flags), -1, "", (at, len, flags))
CALL(int, ftruncate, (int fd, off_t size), fd, NULL, (fd, size))
CALL(int, ftruncate64, (int fd, off64_t size), fd, NULL, (fd, size))
CALL(int, fallocate, (int fd, int mode, off_t at, off_t len), fd, NULL, (fd, mode, at, len))
CALL(int, fallocate64, (int fd, int mode, off64_t at, off64_t len), fd, NULL, (fd, mode, at, len))
CALL(int, fchmod, (int fd, mode_t mode), fd, NULL, (fd, mode))
CALL(int, futimens, (int fd, const struct timespec times[2]), fd, NULL, (fd, times))
CALL(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags), fd,
	NULL, (fd, name, value, size, flags))

CALL(int, rename, (const char *from, const char *to), -1, to, (from, to))
CALL(int, renameat, (int from_dir, const char *from, int to_dir, const char *to), -1, to,
	(from_dir, from, to_dir, to))
CALL(int, renameat2, (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
	-1, to, (from_dir, from, to_dir, to, flags))
CALL(int, link, (const char *from, const char *to), -1, to, (from, to))
CALL(int, linkat, (int from_dir, const char *from, int to_dir, const char *to, int flags), -1, to,
	(from_dir, from, to_dir, to, flags))
CALL(int, unlink, (const char *path), -1, path, (path))
CALL(int, unlinkat, (int dir, const char *path, int flags), -1, path, (dir, path, flags))
CALL(int, rmdir, (const char *path), -1, path, (path))
CALL(int, mkdir, (const char *path, mode_t mode), -1, path, (path, mode))
CALL(int, mkdirat, (int dir, const char *path, mode_t mode), -1, path, (dir, path, mode))
CALL(int, utimensat, (int dir, const char *path, const struct timespec times[2], int flags), -1,
	path, (dir, path, times, flags))
CALL(int, creat, (const char *path, mode_t mode), -1, path, (path, mode))

static bool makes(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* An open that may make a file. */
#define OPEN(name, params, last, arguments)                                  \
	int name params                                                      \
	{                                                                    \
		NEXT(int, name, params);                                     \
		unsigned long n = makes(flags) ? enter(#name, -1, path) : 0; \
		mode_t mode = 0;                                             \
		int result;                                                  \
		if (makes(flags)) {                                          \
			va_list more;                                        \
			va_start(more, last);                                \
			mode = va_arg(more, mode_t);                         \
			va_end(more);                                        \
		}                                                            \
		result = next arguments;                                     \
		leave(n);                                                    \
		return result;                                               \
	}

OPEN(open, (const char *path, int flags, ...), flags, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), flags, (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), flags, (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), flags, (dir, path, flags, mode))

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
	if (number == SYS_openat2 && makes((int)((const struct open_how *)words[2])->flags))
		n = enter("openat2", -1, (const char *)words[1]);
	result = next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
	leave(n);
	return result;
}
