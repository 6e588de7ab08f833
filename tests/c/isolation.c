/* SPDX-License-Identifier: MIT */
/*
 * isolation FILE BYTES CHECKS: two writers and ten readers on one document.
 *
 * The writers save documents of which every byte follows from one number; the readers look at the
 * file in every way a program can (read, pread on a held descriptor, fstat, stat, both mmaps) until
 * CHECKS looks have been made in all. Each must have been at one whole document. Prints the number
 * of looks and of saves; on the first bad look prints what was seen and exits 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRITERS = 2, READERS = 10, SIZES = 7, STEP = 13 };

struct shared {
	atomic_ulong checks;
	atomic_ulong saves;
	atomic_bool failed;
	atomic_bool stop;
};

static struct shared *shared;
static const char *file;
static size_t base;
static unsigned long wanted;

enum { HEAD_LEN = 26, TAIL_LEN = 3 };

static size_t make(char *to, unsigned long n)
{
	size_t size = base + n % SIZES * STEP;
	char head[64];

	/* A number may not begin with 0 in JSON: the first digit is always 1. */
	snprintf(head, sizeof(head), "{\"v\": 1%09lu, \"pad\": \"", n % 1000000000);
	memcpy(to, head, HEAD_LEN);
	memset(to + HEAD_LEN, (int)('a' + n % 26), size - HEAD_LEN - TAIL_LEN);
	memcpy(to + size - TAIL_LEN, "\"}\n", TAIL_LEN);
	return size;
}

static _Noreturn void fail(const char *how, const char *what, const char *bytes, size_t len)
{
	if (!atomic_exchange(&shared->failed, true)) {
		printf("%s: %s (errno %s), %zu bytes: %.60s ... %.20s\n", how, what,
			strerror(errno), len, len ? bytes : "", len > 20 ? bytes + len - 20 : "");
		fflush(stdout);
	}
	shared->stop = true;
	_exit(1);
}

static void check(const char *how, const char *bytes, size_t len)
{
	static char *expected;
	unsigned long n = 0;

	if (!expected)
		expected = malloc(base + SIZES * STEP);
	if (len < HEAD_LEN || sscanf(bytes, "{\"v\": 1%9lu", &n) != 1)
		fail(how, "no document", bytes, len);
	if (make(expected, n) != len)
		fail(how, "a document of another length", bytes, len);
	if (memcmp(expected, bytes, len) != 0)
		fail(how, "a mixed document", bytes, len);
	shared->checks++;
}

static void check_size(const char *how, off_t size)
{
	if (size < (off_t)base || (size - (off_t)base) % STEP ||
		(size - (off_t)base) / STEP >= SIZES)
		fail(how, "a size no document has", "", (size_t)size);
	shared->checks++;
}

static int open_or_fail(const char *how)
{
	int fd = open(file, O_RDONLY);

	if (fd < 0)
		fail(how, "open", "", 0);
	return fd;
}

static size_t read_all(int fd, char *to, size_t room)
{
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, to + len, room - len)) > 0)
		len += (size_t)got;
	if (got < 0)
		fail("read", "error", "", 0);
	return len;
}

static void look_read(char *room, size_t size)
{
	int fd = open_or_fail("read");
	size_t len = read_all(fd, room, size);
	struct stat st;

	check("read", room, len);
	if (fstat(fd, &st) || (size_t)st.st_size != len)
		fail("fstat after read", "another size than was read", room, (size_t)st.st_size);
	close(fd);
}

static void look_held(char *room, size_t size)
{
	int fd = open_or_fail("pread");
	char *again = malloc(size);
	int i;
	ssize_t len = pread(fd, room, size, 0);

	for (i = 0; i < 3; i++) {
		struct stat st;
		ssize_t half = pread(fd, again, size / 2, 0);
		ssize_t rest = pread(fd, again + half, size - (size_t)half, half);

		if (half < 0 || rest < 0 || half + rest != len ||
			memcmp(room, again, (size_t)len) != 0)
			fail("pread", "another document on a held descriptor", again,
				(size_t)(half + rest));
		if (fstat(fd, &st) || st.st_size != len)
			fail("fstat", "another size on a held descriptor", room,
				(size_t)st.st_size);
		check("pread", again, (size_t)len);
	}
	free(again);
	close(fd);
}

static void look_stat(void)
{
	struct stat st;

	if (stat(file, &st))
		fail("stat", "error", "", 0);
	check_size("stat", st.st_size);
}

static void look_map(int flags)
{
	const char *how = flags == MAP_SHARED ? "mmap shared" : "mmap private";
	int fd = open_or_fail(how);
	struct stat st;
	char *map;

	if (fstat(fd, &st))
		fail(how, "fstat", "", 0);
	check_size(how, st.st_size);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, flags, fd, 0);
	if (map == MAP_FAILED)
		fail(how, "mmap", "", 0);
	check(how, map, (size_t)st.st_size);
	check(how, map, (size_t)st.st_size);
	munmap(map, (size_t)st.st_size);
	close(fd);
}

static void reader(unsigned number)
{
	size_t size = base + SIZES * STEP + 4096;
	char *room = malloc(size);

	while (!shared->stop && shared->checks < wanted) {
		switch (number++ % 5) {
		case 0:
			look_read(room, size);
			break;
		case 1:
			look_held(room, size);
			break;
		case 2:
			look_stat();
			break;
		case 3:
			look_map(MAP_PRIVATE);
			break;
		default:
			look_map(MAP_SHARED);
		}
	}
	_exit(0);
}

static void put(int fd, const char *bytes, size_t len, unsigned pieces)
{
	size_t done = 0;

	while (done < len) {
		size_t piece = len / pieces + 1 < len - done ? len / pieces + 1 : len - done;
		ssize_t put = pwrite(fd, bytes + done, piece, (off_t)done);

		if (put < 0)
			fail("write", "error", "", 0);
		done += (size_t)put;
	}
}

static void save_by_rename(const char *bytes, size_t len, int number)
{
	char name[4096];
	int fd;

	snprintf(name, sizeof(name), "%s.new%d", file, number);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		fail("create", "error", "", 0);
	put(fd, bytes, len, 1);
	if (close(fd) || rename(name, file))
		fail("rename", "error", "", 0);
}

static void save_in_place(const char *bytes, size_t len, unsigned long n)
{
	int flags = n % 2 ? O_WRONLY | O_TRUNC | O_CREAT : O_RDWR;
	int fd = open(file, flags, 0600);

	if (fd < 0)
		fail("open for writing", "error", "", 0);
	put(fd, bytes, len, 1 + n % 4);
	if (flags == O_RDWR && ftruncate(fd, (off_t)len))
		fail("ftruncate", "error", "", 0);
	if (close(fd))
		fail("close", "error", "", 0);
}

static void writer(int number)
{
	char *room = malloc(base + SIZES * STEP);
	unsigned long n = (unsigned long)number;

	while (!shared->stop) {
		size_t len = make(room, n);

		if (n % 5 == 4)
			save_by_rename(room, len, number);
		else
			save_in_place(room, len, n / 5);
		shared->saves++;
		n += WRITERS;
	}
	_exit(0);
}

static void start(void (*run)(int), void (*look)(unsigned), int number, pid_t *pid)
{
	*pid = fork();
	if (*pid == 0) {
		if (run)
			run(number);
		else
			look((unsigned)number);
	}
}

int main(int argc, char **argv)
{
	pid_t pids[WRITERS + READERS];
	char *room;
	int bad = 0;
	int i;

	if (argc != 4)
		return 2;
	file = argv[1];
	base = strtoul(argv[2], NULL, 10);
	wanted = strtoul(argv[3], NULL, 10);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	room = malloc(base + SIZES * STEP);
	save_by_rename(room, make(room, 0), 99);
	for (i = 0; i < WRITERS; i++)
		start(writer, NULL, i, &pids[i]);
	for (; i < WRITERS + READERS; i++)
		start(NULL, reader, i, &pids[i]);
	for (i = WRITERS; i < WRITERS + READERS; i++) {
		int status;

		waitpid(pids[i], &status, 0);
		bad |= status;
	}
	shared->stop = true;
	for (i = 0; i < WRITERS; i++) {
		int status;

		waitpid(pids[i], &status, 0);
		bad |= status;
	}
	free(room);
	printf("%lu looks, %lu saves\n", shared->checks, shared->saves);
	return bad || shared->failed ? 1 : 0;
}
