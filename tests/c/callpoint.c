/* SPDX-License-Identifier: MIT */
#include "callpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

union record {
	struct {
		atomic_ulong count;
		atomic_ulong met;
	};
	char text[CALLPOINT_RECORD_BYTES];
};

/* What the environment said; set before main, but for `started`. */
static struct {
	union record *records; /* NULL: not armed */
	pid_t pid;
	enum callpoint_kind kind;
	unsigned long at;
	bool all;
	enum callpoint_side side;
	int error;
	const char *below;
	const char *only;
	const char *start;
	const char *end;
	atomic_bool started;
} point;

static const char *const KINDS[] = {
	[COUNTS_CHANGES] = "changes", [COUNTS_CALLS] = "calls", [COUNTS_MEMORY] = "memory"};

static const char *const SIDES[] = {
	[SIDE_BEFORE] = "before",
	[SIDE_AFTER] = "after",
	[SIDE_TORN] = "torn",
	[SIDE_SHORT] = "short",
	[SIDE_FAILS] = "fails",
	[SIDE_DONE] = "done",
};

/* What is executed by the program is not meant: it finds no trace of us. */
static const char *take(const char *name)
{
	const char *value = getenv(name);
	char *copy = value ? strdup(value) : NULL;

	unsetenv(name);
	return copy;
}

static unsigned take_word(const char *name, const char *const *words, size_t count)
{
	const char *value = take(name);

	for (unsigned i = 0; value && i < count; i++)
		if (!strcmp(value, words[i]))
			return i;
	if (value)
		abort();
	return 0;
}

static unsigned long number_of(const char *value, int base)
{
	return value ? strtoul(value, NULL, base) : 0;
}

__attribute__((constructor)) static void arm(void)
{
	const char *file = take("OUROFS_CALLPOINT");
	const char *at = take("OUROFS_CALLPOINT_AT");
	size_t bytes = (size_t)CALLPOINT_RECORDS * CALLPOINT_RECORD_BYTES;
	void *map;
	int fd;

	point.kind = take_word("OUROFS_CALLPOINT_COUNT", KINDS, sizeof(KINDS) / sizeof(*KINDS));
	point.side = take_word("OUROFS_CALLPOINT_SIDE", SIDES, sizeof(SIDES) / sizeof(*SIDES));
	point.all = at && !strcmp(at, "all");
	point.at = number_of(at, point.kind == COUNTS_MEMORY ? 16 : 10);
	point.error = (int)number_of(take("OUROFS_CALLPOINT_ERROR"), 10);
	point.below = take("OUROFS_CALLPOINT_BELOW");
	point.only = take("OUROFS_CALLPOINT_ONLY");
	point.start = take("OUROFS_CALLPOINT_START");
	point.end = take("OUROFS_CALLPOINT_END");
	unsetenv("LD_PRELOAD");
	if (!file)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || syscall(SYS_ftruncate, fd, (off_t)bytes))
		abort();
	map = (void *)syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
	if (map == MAP_FAILED)
		abort();
	close(fd);
	point.pid = getpid();
	point.records = map;
}

static _Noreturn void die(void)
{
	kill(point.pid, SIGKILL);
	for (;;)
		pause();
}

static bool ended(void)
{
	return point.end && access(point.end, F_OK) == 0;
}

static bool started(void)
{
	if (!point.start || atomic_load(&point.started))
		return true;
	if (access(point.start, F_OK))
		return false;
	atomic_store(&point.started, true);
	return true;
}

bool callpoint_counts(enum callpoint_kind kind)
{
	int saved = errno;
	bool counts =
		point.records &&
		(kind == point.kind || (kind == COUNTS_CHANGES && point.kind == COUNTS_CALLS)) &&
		getpid() == point.pid && started() && !ended();

	errno = saved;
	return counts;
}

/* ---- files ---- */

static bool is_file(int fd)
{
	struct stat st;

	return fd > STDERR_FILENO && !fstat(fd, &st) &&
	       (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* An absolute path where it can be told. */
static void locate(char where[PATH_BYTES], int fd, const char *path)
{
	char self[32];
	size_t len = 0;
	ssize_t got;

	if (!path || path[0] != '/') {
		snprintf(self, sizeof(self), fd >= 0 ? "/proc/self/fd/%d" : "/proc/self/cwd", fd);
		got = readlink(self, where, PATH_BYTES - 2);
		len = got > 0 ? (size_t)got : 0;
		if (path)
			where[len++] = '/';
	}
	snprintf(where + len, PATH_BYTES - len, "%s", path ? path : "");
}

static bool is_below(const char *where)
{
	size_t len = point.below ? strlen(point.below) : 0;

	return !len || (!strncmp(where, point.below, len) && (!where[len] || where[len] == '/'));
}

static bool is_one(unsigned long number)
{
	return number && (point.all || number == point.at);
}

/* Its last name; or all behind the directory that was asked for. */
static const char *name_of(const char *where)
{
	size_t len = point.below ? strlen(point.below) : 0;
	const char *last = strrchr(where, '/');

	return len && where[len] ? where + len + 1 : last ? last + 1 : where;
}

/* 0: not meant. */
static unsigned long count(const char *call, const char *where)
{
	char text[CALLPOINT_RECORD_BYTES];
	unsigned long n;

	snprintf(text, sizeof(text), "%s %.90s", call, name_of(where));
	if (point.only && strncmp(text, point.only, strlen(point.only)) != 0)
		return 0;
	n = atomic_fetch_add(&point.records->count, 1) + 1;
	if (n < CALLPOINT_RECORDS)
		memcpy(point.records[n].text, text, sizeof(text));
	return n;
}

unsigned long callpoint_enter(enum callpoint_kind kind, const char *call, int fd, const char *path)
{
	char where[PATH_BYTES];
	int saved = errno;
	unsigned long n = 0;

	if (callpoint_counts(kind) && (path || is_file(fd))) {
		locate(where, fd, path);
		if (is_below(where))
			n = count(call, where);
		if (is_one(n)) {
			atomic_fetch_add(&point.records->met, 1);
			if (point.side == SIDE_BEFORE)
				die();
		}
	}
	errno = saved;
	return n;
}

bool callpoint_is(unsigned long number, enum callpoint_side side)
{
	return is_one(number) && point.side == side;
}

bool callpoint_fails(unsigned long number)
{
	if (!callpoint_is(number, SIDE_FAILS))
		return false;
	errno = point.error;
	return true;
}

bool callpoint_leave(unsigned long number)
{
	if (callpoint_is(number, SIDE_AFTER) || callpoint_is(number, SIDE_TORN))
		die();
	if (!callpoint_is(number, SIDE_DONE))
		return false;
	errno = point.error;
	return true;
}

/* ---- memory ---- */

bool callpoint_memory_fails(unsigned long place, const char *text)
{
	unsigned long n = atomic_fetch_add(&point.records->count, 1) + 1;

	if (n < CALLPOINT_RECORDS)
		snprintf(point.records[n].text, sizeof(point.records[n].text), "%s", text);
	if (place != point.at)
		return false;
	atomic_fetch_add(&point.records->met, 1);
	errno = point.error;
	return true;
}
