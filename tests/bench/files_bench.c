/* SPDX-License-Identifier: MIT */
/*
 * What operations on small files cost, on any filesystem: "WORK nanoseconds" lines, an operation each.
 *
 *	files_bench DIRECTORY WORK [COUNT] [THREADS] < PATHS
 *
 * PATHS are files below DIRECTORY, one a line, so that nothing is looked up before the clock runs.
 * Works: read (open, read, close of each file), stat, list (each of their directories is read, each
 * entry stat'ed), all three by THREADS threads that share the files; save (COUNT files are made in the
 * first path's directory, overwritten, replaced by a rename and unlinked: four lines), sync (COUNT files
 * by each of THREADS threads: fsync alone in the median, then the time from one to the next of them
 * all), append (to one file: write and fdatasync, median), beside (read by THREADS threads while one more
 * saves a file of its own COUNT times a second).
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "samples.h"

enum { THREADS_MAX = 64, DOCUMENT = 220, NS = 1000000000 };

static char **paths;
static size_t path_count;
static size_t count = 500;
static unsigned thread_count = 1;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void tell(const char *what, double ns)
{
	printf("%s %.1f\n", what, ns);
}

/* JSON of DOCUMENT bytes, another one for each number. */
static void write_document(int fd, size_t number)
{
	char bytes[DOCUMENT];
	int head = snprintf(bytes, sizeof(bytes), "{\"n\": %zu, \"text\": \"", number);

	memset(bytes + head, 'x', sizeof(bytes) - (size_t)head);
	memcpy(bytes + sizeof(bytes) - 3, "\"}\n", 3);
	if (write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
		die("write");
}

static int open_new(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		die(path);
	return fd;
}

static void save(const char *path, size_t number)
{
	int fd = open_new(path);

	write_document(fd, number);
	if (close(fd))
		die(path);
}

/* ---- threads that share the work ---- */

struct share {
	size_t begin;
	size_t end;
	unsigned thread;
	double *samples; /* of sync */
};

static pthread_barrier_t barrier;

/* Nanoseconds from the moment that all are ready until the last one is done. */
static double in_threads(void *(*work)(void *), struct share *shares)
{
	pthread_t threads[THREADS_MAX];
	double start;

	pthread_barrier_init(&barrier, NULL, thread_count + 1);
	for (unsigned i = 0; i < thread_count; i++) {
		shares[i].thread = i;
		if (pthread_create(&threads[i], NULL, work, &shares[i]))
			die("pthread_create");
	}
	pthread_barrier_wait(&barrier);
	start = now_ns();
	for (unsigned i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	return now_ns() - start;
}

static double over_paths(void *(*work)(void *))
{
	struct share shares[THREADS_MAX] = {0};

	for (unsigned i = 0; i < thread_count; i++) {
		shares[i].begin = path_count * i / thread_count;
		shares[i].end = path_count * (i + 1) / thread_count;
	}
	return in_threads(work, shares) / (double)path_count;
}

/* ---- reading ---- */

static void *read_share(void *argument)
{
	const struct share *share = argument;
	char bytes[1 << 16];

	pthread_barrier_wait(&barrier);
	for (size_t i = share->begin; i < share->end; i++) {
		int fd = open(paths[i], O_RDONLY);

		if (fd < 0 || read(fd, bytes, sizeof(bytes)) <= 0 || close(fd))
			die(paths[i]);
	}
	return NULL;
}

static void *stat_share(void *argument)
{
	const struct share *share = argument;
	struct stat st;

	pthread_barrier_wait(&barrier);
	for (size_t i = share->begin; i < share->end; i++)
		if (stat(paths[i], &st))
			die(paths[i]);
	return NULL;
}

static size_t list_directory(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	struct stat st;
	size_t entries = 0;

	if (!directory)
		die(path);
	for (; (entry = readdir(directory)); entries++)
		if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			die(entry->d_name);
	closedir(directory);
	return entries;
}

static void bench_list(void)
{
	char last[4096] = "";
	size_t entries = 0;
	double start = now_ns();

	for (size_t i = 0; i < path_count; i++) {
		char path[sizeof(last)];
		char *slash;

		(void)snprintf(path, sizeof(path), "%s", paths[i]);
		slash = strrchr(path, '/');
		*(slash ? slash : path) = '\0';
		if (!strcmp(path, last))
			continue;
		memcpy(last, path, sizeof(last));
		entries += list_directory(slash ? path : ".");
	}
	tell("list", (now_ns() - start) / (double)entries);
}

static void bench_read(void)
{
	tell("read", over_paths(read_share));
}

static void bench_stat(void)
{
	tell("stat", over_paths(stat_share));
}

/* ---- writing ---- */

/* A name of this program's own beside the first path. */
static const char *own_path(char *to, size_t size, const char *name, size_t number)
{
	const char *slash = strrchr(paths[0], '/');

	(void)snprintf(to, size, "%.*s%s-%zu.json%s", slash ? (int)(slash + 1 - paths[0]) : 0,
		paths[0], name, number, strcmp(name, "new") ? "" : ".tmp");
	return to;
}

static void replace(const char *path, size_t number)
{
	char temporary[4096];

	save(own_path(temporary, sizeof(temporary), "new", number), number);
	if (rename(temporary, path))
		die(path);
}

static void remove_file(const char *path, size_t number)
{
	(void)number;
	if (unlink(path))
		die(path);
}

static void bench_save(void)
{
	static const struct {
		const char *name;
		void (*work)(const char *path, size_t number);
	} rows[] = {
		{"create", save},
		{"overwrite", save},
		{"rename", replace},
		{"unlink", remove_file},
	};
	char path[4096];

	for (size_t row = 0; row < sizeof(rows) / sizeof(*rows); row++) {
		double start = now_ns();

		for (size_t i = 0; i < count; i++)
			rows[row].work(own_path(path, sizeof(path), "bench", i), row * count + i);
		tell(rows[row].name, (now_ns() - start) / (double)count);
	}
}

static void *sync_share(void *argument)
{
	const struct share *share = argument;
	char path[4096];

	own_path(path, sizeof(path), "sync", share->thread);
	pthread_barrier_wait(&barrier);
	for (size_t i = 0; i < count; i++) {
		int fd = open_new(path);
		double start;

		write_document(fd, share->thread * count + i);
		start = now_ns();
		if (fsync(fd))
			die(path);
		share->samples[i] = now_ns() - start;
		if (close(fd))
			die(path);
	}
	return NULL;
}

static void bench_sync(void)
{
	struct share shares[THREADS_MAX] = {0};
	size_t all = count * thread_count;
	double *samples = calloc(all ? all : 1, sizeof(*samples));
	char path[4096];
	double ns;

	if (!samples)
		die("sync");
	for (unsigned i = 0; i < thread_count; i++)
		shares[i].samples = samples + i * count;
	ns = in_threads(sync_share, shares);
	tell("fsync", median(samples, all));
	tell("synced", ns / (double)all);
	free(samples);
	for (unsigned i = 0; i < thread_count; i++)
		remove_file(own_path(path, sizeof(path), "sync", i), i);
}

static void bench_append(void)
{
	double *samples = calloc(count ? count : 1, sizeof(*samples));
	char path[4096];
	int fd = open_new(own_path(path, sizeof(path), "append", 0));

	if (!samples)
		die("append");
	for (size_t i = 0; i < count; i++) {
		double start = now_ns();

		write_document(fd, i);
		if (fdatasync(fd))
			die(path);
		samples[i] = now_ns() - start;
	}
	close(fd);
	remove_file(path, 0);
	tell("append", median(samples, count));
	free(samples);
}

/* ---- both ---- */

static atomic_bool enough;

static void *save_at_a_pace(void *unused)
{
	const struct timespec pause = {.tv_nsec = NS / (long)count - 1};
	char path[4096];

	(void)unused;
	own_path(path, sizeof(path), "beside", 0);
	for (size_t i = 0; !atomic_load(&enough); i++) {
		save(path, i);
		nanosleep(&pause, NULL);
	}
	remove_file(path, 0);
	return NULL;
}

static void bench_beside(void)
{
	pthread_t writer;
	double ns;

	if (pthread_create(&writer, NULL, save_at_a_pace, NULL))
		die("pthread_create");
	ns = over_paths(read_share);
	atomic_store(&enough, true);
	pthread_join(writer, NULL);
	tell("beside", ns);
}

/* ---- what to do ---- */

static void read_paths(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	while ((len = getline(&line, &room, stdin)) > 0) {
		char **grown = realloc(paths, (path_count + 1) * sizeof(*paths));

		if (!grown)
			die("paths");
		paths = grown;
		line[strcspn(line, "\n")] = '\0';
		paths[path_count] = strdup(line);
		if (!paths[path_count++])
			die("paths");
	}
	free(line);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*work)(void);
	} works[] = {
		{"read", bench_read},
		{"stat", bench_stat},
		{"list", bench_list},
		{"save", bench_save},
		{"sync", bench_sync},
		{"append", bench_append},
		{"beside", bench_beside},
	};

	if (argc > 3)
		count = strtoul(argv[3], NULL, 10);
	if (argc > 4)
		thread_count = (unsigned)strtoul(argv[4], NULL, 10);
	read_paths();
	if (argc < 3 || !path_count || !count || !thread_count || thread_count > THREADS_MAX) {
		(void)fputs("usage: files_bench DIRECTORY WORK [COUNT] [THREADS] < PATHS\n",
			stderr);
		return EXIT_FAILURE;
	}
	if (chdir(argv[1]))
		die(argv[1]);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		if (!strcmp(works[i].name, argv[2]))
			works[i].work();
	return EXIT_SUCCESS;
}
