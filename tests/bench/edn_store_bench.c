/* SPDX-License-Identifier: MIT */
/*
 * What a memory.edn costs: loading it, the memory it takes, saving one key.
 *
 *	tests/bench/gen_memory.py > /var/tmp/memory.edn
 *	edn_store_bench /var/tmp/memory.edn [rounds]
 *
 * The file is copied beside itself first, and the copy is what is worked on. A save is held against
 * the plain copy of the same bytes with an fsync, on the same disk, in turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ednfile.h"

static double clock_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double now_s(void)
{
	return clock_s(CLOCK_MONOTONIC);
}

static double resident_mb(const char *name)
{
	char line[256];
	double kb = 0;
	FILE *status = fopen("/proc/self/status", "r");

	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, name, strlen(name)) == 0)
			kb = strtod(line + strlen(name) + 1, NULL);
	if (status)
		fclose(status);
	return kb / 1e3 * 1.024;
}

/* As cp: through a buffer of 256 KiB. */
static int copy(const char *from, const char *to, char *buffer, size_t size)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = -1;

	while (in >= 0 && out >= 0 && (n = read(in, buffer, size)) > 0)
		if (write(out, buffer, (size_t)n) != n) {
			n = -1;
			break;
		}
	if (n == 0 && fsync(out))
		n = -1;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return n ? -1 : 0;
}

static int save(struct ednfile *file, int round, struct err *err)
{
	struct ednfile_snapshot *snapshot;
	char value[32];
	struct ednfile_replaced replaced = {.fd = -1};
	struct hash128 hash;
	int ret;

	snprintf(value, sizeof(value), "{:round %d}", round);
	ret = ednfile_put(file, SLICE_LITERAL(":bench/one-key"), slice_of(NULL, 0),
		slice_str(value), err);
	if (!ret)
		ret = ednfile_rewrite_begin(file, &snapshot);
	if (ret)
		return ret;
	ret = ednfile_rewrite_write(file, snapshot, &hash, err);
	if (!ret)
		ret = ednfile_rewrite_commit(file, snapshot, false, &replaced, err);
	if (replaced.fd >= 0)
		close(replaced.fd);
	ednfile_rewrite_end(file, snapshot);
	return ret;
}

struct visit {
	size_t entries;
	uint64_t bytes;
};

static int count(void *context, struct slice key, const struct ednfile_item *item)
{
	struct visit *visit = context;

	visit->entries++;
	visit->bytes += key.len + item->text.len;
	return 0;
}

static int measure_load(const char *path, const struct ednfile_options *options, int rounds,
	struct err *err)
{
	struct ednfile_info info;
	struct ednfile *file;
	double best = 1e9;
	double best_cpu = 1e9;

	for (int i = 0; i < rounds; i++) {
		struct visit visit = {0};
		double cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
		double start = now_s();
		int ret = ednfile_open(&file, path, options, err);

		if (ret)
			return ret;
		cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		best_cpu = cpu < best_cpu ? cpu : best_cpu;
		if (now_s() - start < best)
			best = now_s() - start;
		if (!i) {
			ednfile_info(file, &info);
			printf("resident after the load: %.1f MB, at its peak %.1f MB, of a file "
			       "of %.1f MB\n",
				resident_mb("VmRSS:"), resident_mb("VmHWM:"),
				(double)info.size_bytes / 1e6);
			start = now_s();
			ednfile_each(file, count, &visit);
			printf("entries: %zu, visited in %.1f ms\n", visit.entries,
				(now_s() - start) * 1e3);
		}
		ednfile_free(file);
	}
	printf("load: %.1f ms, %.0f MB/s; processor time %.1f ms, %.0f MB/s\n", best * 1e3,
		(double)info.size_bytes / 1e6 / best, best_cpu * 1e3,
		(double)info.size_bytes / 1e6 / best_cpu);
	return 0;
}

static int measure_save(const char *path, const char *other, const struct ednfile_options *options,
	int rounds, struct err *err)
{
	enum { BUFFER = 256 * 1024 };
	struct ednfile *file;
	double saves = 1e9;
	double copies = 1e9;
	char *buffer = malloc(BUFFER);
	int ret = buffer ? ednfile_open(&file, path, options, err) : -ENOMEM;

	if (ret)
		goto out;
	for (int i = 0; i < rounds && !ret; i++) {
		double start = now_s();
		double middle;

		ret = save(file, i, err);
		middle = now_s();
		if (!ret && copy(path, other, buffer, BUFFER))
			ret = -EIO;
		if (middle - start < saves)
			saves = middle - start;
		if (now_s() - middle < copies)
			copies = now_s() - middle;
	}
	printf("save of one key: %.1f ms; copy and fsync: %.1f ms; ratio %.2f\n", saves * 1e3,
		copies * 1e3, saves / copies);
	printf("resident at the end: %.1f MB, at its peak %.1f MB\n", resident_mb("VmRSS:"),
		resident_mb("VmHWM:"));
	ednfile_free(file);
out:
	free(buffer);
	return ret;
}

int main(int argc, char **argv)
{
	struct ednfile_options options = {.max_depth = EDN_LOAD_DEPTH};
	struct schema *schema = NULL;
	struct err err = {.code = 0};
	char work[4096];
	char other[4096];
	char buffer[4096];
	int rounds = argc > 2 ? atoi(argv[2]) : 5;
	int ret;

	if (argc < 2) {
		fprintf(stderr, "usage: edn_store_bench MEMORY.EDN [rounds]\n");
		return 2;
	}
	snprintf(work, sizeof(work), "%s.bench", argv[1]);
	snprintf(other, sizeof(other), "%s.copy", argv[1]);
	ret = copy(argv[1], work, buffer, sizeof(buffer)) ? -EIO : schema_new(&schema, &err);
	options.schema = schema;
	if (!ret)
		ret = measure_load(work, &options, rounds, &err);
	if (!ret)
		ret = measure_save(work, other, &options, rounds, &err);
	if (ret)
		fprintf(stderr, "edn_store_bench: %s\n", err.code ? err.text : strerror(-ret));
	schema_free(schema);
	unlink(work);
	unlink(other);
	return ret ? 2 : 0;
}
