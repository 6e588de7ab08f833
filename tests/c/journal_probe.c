/* SPDX-License-Identifier: MIT */
/*
 * A door to the journal for tests: journal_probe STORE WATERMARK opens it and takes one command a line on
 * stdin, each answered by a line on stdout that starts with the return value. What is replayed is
 * printed first, a record a line, then "open" and how that ended.
 *
 * fdatasync is this program's own (the linker's --wrap), so that a disk can be slow, or broken, and
 * how often it was asked is known.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "lock_order.h"

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static atomic_uint syncs;
static atomic_uint sync_us;
static atomic_int sync_error;

int __wrap_fdatasync(int fd)
{
	atomic_fetch_add(&syncs, 1);
	if (sync_us)
		usleep(sync_us);
	if (sync_error) {
		errno = sync_error;
		return -1;
	}
	return __real_fdatasync(fd);
}

struct probe {
	struct journal *journal;
	int dir_fd;
	pthread_mutex_t writer;
	uint64_t last;
	struct err err;
};

static struct slice filled(char *bytes, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(seed * 31 + i);
	return slice_of(bytes, len);
}

static int append(struct probe *p, unsigned kind, size_t len, uint64_t *sequence)
{
	static const struct timespec when = {1700000000, 5};
	char *bytes = malloc(len + 1);
	int ret = bytes ? 0 : -ENOMEM;

	pthread_mutex_lock(&p->writer);
	if (!ret)
		ret = journal_append(p->journal, when, (enum journal_kind)kind,
			filled(bytes, len, journal_last(p->journal) + 1), sequence, &p->err);
	if (!ret)
		p->last = *sequence;
	pthread_mutex_unlock(&p->writer);
	free(bytes);
	return ret;
}

static int print_record(void *context, const struct journal_record *record, struct err *err)
{
	char *bytes = malloc(record->payload.len + 1);
	struct slice expected;

	(void)context;
	if (!bytes)
		return err_set(err, -ENOMEM, "out of memory");
	expected = filled(bytes, record->payload.len, record->sequence);
	printf("%" PRIu64 " %zu %s %s\n", record->sequence, record->payload.len,
		slice_equal(expected, record->payload) ? "whole" : "other",
		journal_kind_name(record->kind));
	free(bytes);
	return 0;
}

/* ---- many at once ---- */

struct worker {
	struct probe *probe;
	unsigned long rounds;
	int ret;
};

static void *work(void *context)
{
	struct worker *w = context;
	uint64_t sequence;

	for (unsigned long i = 0; i < w->rounds && !w->ret; i++) {
		w->ret = append(w->probe, JOURNAL_PUT, 100, &sequence);
		if (!w->ret)
			w->ret = journal_sync(w->probe->journal, sequence, NULL);
	}
	return NULL;
}

static int storm(struct probe *p, unsigned long threads, unsigned long rounds)
{
	struct worker workers[64];
	pthread_t ids[64];
	unsigned long started = 0;
	int ret = 0;

	for (; started < threads && started < 64 && !ret; started += !ret) {
		workers[started] = (struct worker){.probe = p, .rounds = rounds};
		ret = -pthread_create(&ids[started], NULL, work, &workers[started]);
	}
	for (unsigned long i = 0; i < started; i++) {
		pthread_join(ids[i], NULL);
		if (!ret)
			ret = workers[i].ret;
	}
	return ret;
}

static int answer(struct probe *p, const char *name, unsigned long a, unsigned long b)
{
	uint64_t sequence;

	if (strcmp(name, "append") == 0)
		return append(p, (unsigned)a, b, &sequence);
	if (strcmp(name, "retract") == 0)
		return journal_retract(p->journal);
	if (strcmp(name, "rotate") == 0)
		return journal_rotate(p->journal);
	if (strcmp(name, "barrier") == 0) {
		journal_barrier(p->journal);
		return 0;
	}
	if (strcmp(name, "sync") == 0)
		return journal_sync(p->journal, journal_last(p->journal), &p->err);
	if (strcmp(name, "trim") == 0)
		return journal_trim(p->journal, a);
	if (strcmp(name, "storm") == 0)
		return storm(p, a, b);
	if (strcmp(name, "disk") == 0) {
		sync_us = (unsigned)a;
		sync_error = (int)b;
		syncs = 0;
		return 0;
	}
	return -ENOSYS;
}

static void serve(struct probe *p, char *line)
{
	char *rest = line;
	const char *name = strsep(&rest, " \n");
	unsigned long a = rest ? strtoul(rest, &rest, 10) : 0;
	unsigned long b = rest ? strtoul(rest, NULL, 10) : 0;
	int ret;

	p->err = (struct err){0};
	ret = answer(p, name, a, b);
	printf("%d %" PRIu64 " %" PRIu64 " %u %s\n", ret, journal_last(p->journal),
		journal_bytes(p->journal), syncs, p->err.text);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct probe p = {0};
	char *line = NULL;
	size_t cap = 0;
	int ret;

	p.dir_fd = argc == 3 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (p.dir_fd < 0)
		return 2;
	mutex_init(&p.writer, LOCK_MEMORY);
	ret = journal_open(&p.journal, p.dir_fd, strtoull(argv[2], NULL, 10), print_record, NULL,
		&p.err);
	printf("open %d %s\n", ret, p.err.text);
	fflush(stdout);
	while (!ret && getline(&line, &cap, stdin) > 0)
		serve(&p, line);
	free(line);
	journal_close(p.journal);
	close(p.dir_fd);
	return 0;
}
