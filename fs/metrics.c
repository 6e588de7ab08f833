/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <errno.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "monotonic.h"

/* What is told apart; the last is for all others. */
static const struct result {
	int error;
	const char *name;
} RESULTS[] = {
	{0, "ok"},
#define RESULT(error)         \
	{                     \
		error, #error \
	}
	RESULT(ENOENT),
	RESULT(EBADMSG),
	RESULT(EINVAL),
	RESULT(EEXIST),
	RESULT(EISDIR),
	RESULT(ENOTDIR),
	RESULT(ENOTEMPTY),
	RESULT(EXDEV),
	RESULT(EROFS),
	RESULT(EACCES),
	RESULT(EPERM),
	RESULT(ESTALE),
	RESULT(ENODATA),
	RESULT(ENAMETOOLONG),
	RESULT(EFBIG),
	RESULT(ENOSPC),
	RESULT(EIO),
	RESULT(ENOMEM),
	RESULT(EBUSY),
	RESULT(EAGAIN),
	RESULT(EDEADLK),
	RESULT(EINTR),
	RESULT(EOPNOTSUPP),
	RESULT(ENXIO),
	RESULT(ERANGE),
#undef RESULT
	{-1, "other"},
};

static const char *const OPERATIONS[OPERATION_COUNT] = {
#define NAME(name) #name,
	METRICS_OPERATIONS(NAME)
#undef NAME
};

static const char *const EVENTS[] = {
	"memory/save",
	"memory/get",
	"memory/delete",
	"memory/rename",
	"mode-changed",
	"migration-started",
	"migration-progress",
	"migration-paused",
	"migration-completed",
	"migration-failed",
	"migration-stopped",
	"validation-completed",
	"outside-change",
	"rejected",
	"conflict",
	"edn-rewritten",
	"error",
	"store-degraded",
	"store-recovered",
	"hidden",
};

/* Upper bounds of the buckets. */
static const uint64_t BOUNDS_NS[] = {10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,
	5000000, 10000000, 25000000, 50000000, 100000000, 250000000, 500000000, 1000000000,
	2500000000, 5000000000, 10000000000};

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
enum { SHARDS = 16, CACHE_LINE_BYTES = 64 };

struct shard {
	alignas(CACHE_LINE_BYTES) atomic_ulong results[OPERATION_COUNT][COUNT(RESULTS)];
	atomic_ulong buckets[OPERATION_COUNT][COUNT(BOUNDS_NS) + 1]; /* not cumulative */
	atomic_ulong sums_ns[OPERATION_COUNT];
	atomic_ulong events[COUNT(EVENTS)];
};

struct metrics {
	struct shard shards[SHARDS];
};

int metrics_new(struct metrics **out)
{
	struct metrics *metrics = aligned_alloc(CACHE_LINE_BYTES, sizeof(*metrics));

	if (!metrics)
		return -ENOMEM;
	memset(metrics, 0, sizeof(*metrics));
	*out = metrics;
	return 0;
}

void metrics_free(struct metrics *metrics)
{
	free(metrics);
}

/* ---- counting ---- */

uint64_t metrics_now_ns(void)
{
	return (uint64_t)monotonic_ns();
}

static struct shard *shard_of_this_cpu(struct metrics *metrics)
{
	int cpu = sched_getcpu();

	return &metrics->shards[cpu < 0 ? 0 : cpu % SHARDS];
}

static void add(atomic_ulong *counter, unsigned long more)
{
	atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

void metrics_operation(struct metrics *metrics, enum operation operation, int error,
	uint64_t duration_ns)
{
	struct shard *shard = shard_of_this_cpu(metrics);
	size_t result = 0, bucket = 0;

	while (result + 1 < COUNT(RESULTS) && RESULTS[result].error != error)
		result++;
	while (bucket < COUNT(BOUNDS_NS) && duration_ns > BOUNDS_NS[bucket])
		bucket++;
	add(&shard->results[operation][result], 1);
	add(&shard->buckets[operation][bucket], 1);
	add(&shard->sums_ns[operation], duration_ns);
}

void metrics_event(struct metrics *metrics, const char *name)
{
	for (size_t i = 0; i < COUNT(EVENTS); i++) {
		if (!strcmp(EVENTS[i], name)) {
			add(&shard_of_this_cpu(metrics)->events[i], 1);
			return;
		}
	}
}

/* Of a counter in all shards; offset is its place in one. */
static uint64_t total(const struct metrics *metrics, const atomic_ulong *first)
{
	size_t offset = (size_t)((const char *)first - (const char *)&metrics->shards[0]);
	uint64_t sum = 0;

	for (size_t i = 0; i < SHARDS; i++) {
		const char *shard = (const char *)&metrics->shards[i];

		sum += atomic_load_explicit((const atomic_ulong *)(const void *)(shard + offset),
			memory_order_relaxed);
	}
	return sum;
}

/* ---- printing ---- */

void metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_add_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_number(struct buf *out, double value)
{
	if (value < 1e15 && value > -1e15 && value == (double)(long long)value)
		buf_add_format(out, " %lld\n", (long long)value);
	else
		buf_add_format(out, " %.9g\n", value);
}

void metrics_value(struct buf *out, const char *name, double value)
{
	buf_add_str(out, name);
	add_number(out, value);
}

static void add_label(struct buf *out, const char *label, const char *text)
{
	buf_add_format(out, "%s=\"", label);
	for (; *text; text++) {
		if (*text == '\n')
			buf_add_str(out, "\\n");
		else if (*text == '"' || *text == '\\')
			buf_add_format(out, "\\%c", *text);
		else
			buf_add_char(out, *text);
	}
	buf_add_char(out, '"');
}

void metrics_labelled(struct buf *out, const char *name, const char *label, const char *text,
	double value)
{
	buf_add_format(out, "%s{", name);
	add_label(out, label, text);
	buf_add_char(out, '}');
	add_number(out, value);
}

static void print_operations(struct metrics *metrics, struct buf *out)
{
	static const char name[] = "ourofs_operations_total";

	metrics_head(out, name, "counter", "Requests of the kernel's, by operation and result.");
	for (size_t i = 0; i < OPERATION_COUNT; i++) {
		for (size_t j = 0; j < COUNT(RESULTS); j++) {
			uint64_t count = total(metrics, &metrics->shards[0].results[i][j]);

			if (count || !j)
				buf_add_format(out, "%s{operation=\"%s\",result=\"%s\"} %llu\n",
					name, OPERATIONS[i], RESULTS[j].name,
					(unsigned long long)count);
		}
	}
}

static void print_histogram(struct metrics *metrics, size_t operation, struct buf *out)
{
	static const char name[] = "ourofs_operation_duration_seconds";
	struct shard *first = &metrics->shards[0];
	double sum_ns = (double)total(metrics, &first->sums_ns[operation]);
	unsigned long long count = 0;

	for (size_t i = 0; i <= COUNT(BOUNDS_NS); i++) {
		count += total(metrics, &first->buckets[operation][i]);
		buf_add_format(out, "%s_bucket{operation=\"%s\",le=\"", name,
			OPERATIONS[operation]);
		if (i < COUNT(BOUNDS_NS))
			buf_add_format(out, "%g", (double)BOUNDS_NS[i] / 1e9);
		else
			buf_add_str(out, "+Inf");
		buf_add_format(out, "\"} %llu\n", count);
	}
	buf_add_format(out, "%s_sum{operation=\"%s\"} %.9f\n", name, OPERATIONS[operation],
		sum_ns / 1e9);
	buf_add_format(out, "%s_count{operation=\"%s\"} %llu\n", name, OPERATIONS[operation],
		count);
}

void metrics_print_counted(struct metrics *metrics, struct buf *out)
{
	print_operations(metrics, out);
	metrics_head(out, "ourofs_operation_duration_seconds", "histogram",
		"From a request to its answer, by operation.");
	/* an operation that never was is 20 lines that say nothing; no metric is without a sample */
	for (size_t i = 0; i < OPERATION_COUNT; i++)
		if (i == OPERATION_lookup || total(metrics, &metrics->shards[0].sums_ns[i]))
			print_histogram(metrics, i, out);
	metrics_head(out, "ourofs_events_total", "counter", "What /.events told, by event.");
	for (size_t i = 0; i < COUNT(EVENTS); i++)
		metrics_labelled(out, "ourofs_events_total", "event", EVENTS[i],
			(double)total(metrics, &metrics->shards[0].events[i]));
}
