/* SPDX-License-Identifier: MIT */
#include "memory_event.h"
#include "memory_migrate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "monotonic.h"

enum { TELL_MS = 1000 }; /* oftener, progress would push out what else /.events keeps */

static const char *const STATES[] = {"idle", "running", "paused", "done", "failed", "stopped"};

const char *migration_state_name(enum migration_state state)
{
	return STATES[state];
}

/* ---- counting; with mutex held ---- */

static double active_s(const struct migration *g)
{
	int64_t ms = g->active_ms + (g->since_ms ? monotonic_ms() - g->since_ms : 0);

	return (double)ms / 1000;
}

void migration_set(struct migration *g, enum migration_state state)
{
	int64_t now = monotonic_ms();

	if (g->since_ms)
		g->active_ms += now - g->since_ms;
	g->since_ms = state == RUNNING ? now : 0;
	g->state = state;
	g->seen.state = STATES[state];
	if (state == DONE || state == FAILED || state == STOPPED)
		g->seen.ended = memory_now();
}

static void add_failure(struct migration *g, const struct agree_failure *failure)
{
	struct memory_migration_failure *to;
	struct buf text = BUF_INIT;
	struct entity_id id;

	if (g->seen.failure_count == MIGRATION_FAILURES_MAX)
		return;
	to = &g->seen.failures[g->seen.failure_count++];
	if (!entity_id_of_name(failure->name, &id))
		id = (struct entity_id){.key = failure->name};
	entity_id_text(&text, id);
	snprintf(to->key, sizeof(to->key), "%.*s", (int)text.len, text.ptr);
	buf_release(&text);
	snprintf(to->error, sizeof(to->error), "%s",
		failure->ret == -EFBIG ? "larger than doc_max allows" : strerror(-failure->ret));
}

static bool has_failed(const struct chunk *chunk, struct slice name)
{
	for (const struct agree_failure *f = chunk->failures; f; f = f->next)
		if (slice_equal(f->name, name))
			return true;
	return false;
}

size_t migration_skipped(const struct chunk *chunk)
{
	size_t others = chunk->count;

	for (const struct agree_failure *f = chunk->failures; f; f = f->next)
		others++;
	return chunk->to - chunk->from - others;
}

void migration_count(struct migration *g, const struct chunk *chunk, size_t skipped)
{
	size_t failed = 0;

	for (const struct agree_failure *f = chunk->failures; f; f = f->next)
		add_failure(g, f);
	for (size_t i = chunk->from; i < chunk->to; i++) {
		struct memory_migration_type *type = &g->seen.types[g->plan.types[i]];
		bool bad = chunk->failures && has_failed(chunk, names_at(&g->plan.names, i));

		failed += bad;
		type->failed += bad;
		type->done += !bad;
	}
	g->seen.failed += failed;
	g->seen.done += chunk->to - chunk->from - failed;
	g->seen.skipped += skipped;
	g->active_done += chunk->to - chunk->from;
}

/* ---- events; with mutex held ---- */

void migration_tell(struct memory *m, const char *name)
{
	struct migration *g = m->migration;
	struct memory_event event = {.name = name, .store = "eav", .count = g->seen.total};
	struct slice what = slice_str(g->seen.what);
	struct buf detail = BUF_INIT;

	g->told_ms = monotonic_ms();
	if (!memory_is_heard(m))
		return;
	if (wanted_is_word(what))
		buf_add_slice(&detail, what);
	else
		event.key = what;
	if (g->seen.done + g->seen.failed)
		buf_add_format(&detail, "%s%zu done", detail.len ? ", " : "", g->seen.done);
	if (g->seen.failed)
		buf_add_format(&detail, ", %zu failed", g->seen.failed);
	if (g->state == FAILED)
		buf_add_format(&detail, "%s%s", detail.len ? ": " : "", g->seen.error);
	event.detail = buf_slice(&detail);
	if (g->state == DONE)
		event.duration_ms = (double)g->active_ms;
	if (!buf_error(&detail))
		memory_tell(m, &event);
	buf_release(&detail);
}

void migration_tell_progress(struct memory *m)
{
	if (monotonic_ms() - m->migration->told_ms >= TELL_MS)
		migration_tell(m, "migration-progress");
}

/* ---- what people see ---- */

void memory_migration(struct memory *m, struct memory_migration *migration)
{
	struct migration *g = m->migration;
	double seconds;

	pthread_mutex_lock(&g->mutex);
	*migration = g->seen;
	seconds = active_s(g);
	if (seconds > 0)
		migration->rate_per_s = (double)g->active_done / seconds;
	if (g->state == RUNNING && migration->rate_per_s > 0)
		migration->left_s =
			(double)(migration->total - migration->done - migration->failed) /
			migration->rate_per_s;
	pthread_mutex_unlock(&g->mutex);
}
