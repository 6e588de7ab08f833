/* SPDX-License-Identifier: MIT */
/*
 * What a record costs: appends a second, and until they are on disk.
 *
 *	journal_bench DIRECTORY [rounds]
 *
 * A sync is held against a plain append of as many bytes with an fdatasync, to a file in the same
 * directory, in turns. fdatasync is this program's own (the linker's --wrap), which counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"
#include "lock_order.h"
#include "samples.h"

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

enum { PAYLOAD = 400, HEAD = 36, WRITERS = 8, APPENDS = 80000, SYNCS = 240 };

static atomic_uint fdatasyncs;

int __wrap_fdatasync(int fd)
{
	atomic_fetch_add(&fdatasyncs, 1);
	return __real_fdatasync(fd);
}

static double now_s(void)
{
	return now_ns() / 1e9;
}

struct bench {
	struct journal *journal;
	pthread_mutex_t writer; /* the caller's one lock, as memory.lock is */
	int plain_fd;
	char payload[PAYLOAD + HEAD];
};

static int append(struct bench *b, uint64_t *sequence)
{
	struct timespec now;
	int ret;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&b->writer);
	ret = journal_append(b->journal, now, JOURNAL_PUT, slice_of(b->payload, PAYLOAD), sequence,
		NULL);
	pthread_mutex_unlock(&b->writer);
	return ret;
}

static int append_and_sync(struct bench *b)
{
	uint64_t sequence;
	int ret = append(b, &sequence);

	return ret ? ret : journal_sync(b->journal, sequence, NULL);
}

static int plain_append(struct bench *b)
{
	if (write(b->plain_fd, b->payload, sizeof(b->payload)) != (ssize_t)sizeof(b->payload) ||
		fdatasync(b->plain_fd))
		return -EIO;
	return 0;
}

/* ---- writers ---- */

struct writer {
	struct bench *bench;
	int count;
	bool sync;
	int ret;
};

static void *write_records(void *context)
{
	struct writer *w = context;
	uint64_t sequence;

	for (int i = 0; i < w->count && !w->ret; i++)
		w->ret = w->sync ? append_and_sync(w->bench) : append(w->bench, &sequence);
	return NULL;
}

/* Records a second, of so many writers that write count in all. */
static int run_writers(struct bench *b, int writers, int count, bool sync, double *rate)
{
	struct writer workers[WRITERS];
	pthread_t threads[WRITERS];
	double start = now_s();
	int ret = 0;

	for (int i = 0; i < writers; i++) {
		workers[i] = (struct writer){b, count / writers, sync, 0};
		if (pthread_create(&threads[i], NULL, write_records, &workers[i]))
			abort();
	}
	for (int i = 0; i < writers; i++) {
		pthread_join(threads[i], NULL);
		ret = ret ? ret : workers[i].ret;
	}
	*rate = count / (now_s() - start);
	return ret;
}

/* What a mount does now and then: all of it is elsewhere. */
static int start_over(struct bench *b)
{
	int ret = journal_sync(b->journal, journal_last(b->journal), NULL);

	journal_rotate(b->journal);
	return ret ? ret : journal_trim(b->journal, journal_last(b->journal));
}

static int measure_appends(struct bench *b, int rounds)
{
	double one[64];
	double many[64];
	int ret = 0;

	for (int i = 0; i < rounds && !ret; i++) {
		ret = run_writers(b, 1, APPENDS, false, &one[i]);
		ret = ret ? ret : start_over(b);
		ret = ret ? ret : run_writers(b, WRITERS, APPENDS, false, &many[i]);
		ret = ret ? ret : start_over(b);
	}
	if (!ret)
		printf("appends of %d bytes a second: 1 writer %.0f, %d writers %.0f\n", PAYLOAD,
			median(one, (size_t)rounds), WRITERS, median(many, (size_t)rounds));
	return ret;
}

static int measure_latency(struct bench *b, int rounds)
{
	size_t count = (size_t)rounds * SYNCS / 8;
	double *ours = calloc(count, sizeof(*ours));
	double *plain = calloc(count, sizeof(*plain));
	int ret = ours && plain ? 0 : -ENOMEM;

	for (size_t i = 0; i < count && !ret; i++) {
		double start = now_s();
		double middle;

		ret = append_and_sync(b);
		middle = now_s();
		if (!ret)
			ret = plain_append(b);
		ours[i] = middle - start;
		plain[i] = now_s() - middle;
	}
	if (!ret) {
		double a = median(ours, count);
		double p = median(plain, count);

		printf("append and journal_sync %.0f us; plain append and fdatasync %.0f us; ratio "
		       "%.2f (medians of %zu)\n",
			a * 1e6, p * 1e6, a / p, count);
	}
	free(plain);
	free(ours);
	return ret;
}

static int measure_sharing(struct bench *b, int rounds)
{
	double one[64];
	double many[64];
	double shared[64];
	int ret = 0;

	for (int i = 0; i < rounds && !ret; i++) {
		ret = run_writers(b, 1, SYNCS, true, &one[i]);
		fdatasyncs = 0;
		ret = ret ? ret : run_writers(b, WRITERS, SYNCS, true, &many[i]);
		shared[i] = fdatasyncs;
	}
	if (!ret)
		printf("synced records a second: 1 writer %.0f, %d writers %.0f, which take %.0f "
		       "fdatasyncs for %d records\n",
			median(one, (size_t)rounds), WRITERS, median(many, (size_t)rounds),
			median(shared, (size_t)rounds), SYNCS);
	return ret;
}

static int ignore_record(void *context, const struct journal_record *record, struct err *err)
{
	(void)context;
	(void)record;
	(void)err;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

int main(int argc, char **argv)
{
	struct bench b = {.plain_fd = -1};
	struct err err = {.code = 0};
	char work[4096];
	int rounds = argc > 2 ? atoi(argv[2]) : 7;
	int dir_fd;
	int ret;

	if (argc < 2 || rounds < 1 || rounds > 64) {
		fprintf(stderr, "usage: journal_bench DIRECTORY [rounds]\n");
		return 2;
	}
	snprintf(work, sizeof(work), "%s/journal-bench-XXXXXX", argv[1]);
	dir_fd = mkdtemp(work) ? open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	ret = dir_fd < 0 ? -errno : 0;
	if (!ret)
		b.plain_fd = openat(dir_fd, "plain", O_WRONLY | O_CREAT | O_APPEND, 0600);
	memset(b.payload, 'x', sizeof(b.payload));
	mutex_init(&b.writer, LOCK_MEMORY);
	if (!ret)
		ret = journal_open(&b.journal, dir_fd, 0, ignore_record, NULL, &err);
	if (!ret)
		ret = measure_appends(&b, rounds);
	if (!ret)
		ret = measure_latency(&b, rounds);
	if (!ret)
		ret = measure_sharing(&b, rounds);
	if (ret)
		fprintf(stderr, "journal_bench: %s\n", err.code ? err.text : strerror(-ret));
	journal_close(b.journal);
	nftw(work, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return ret ? 2 : 0;
}
