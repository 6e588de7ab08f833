/* SPDX-License-Identifier: MIT */
#include "memory_migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"

#include "lock_order.h"

/*
 * Migration: a thread of its own compares entities, makes of them what the EAV store is to hold, and writes that, a
 * chunk at a time, between the flush thread's batches of what is saved meanwhile. What was wanted is a note in
 * saved: what a chunk has brought is found there by the next run, and skipped.
 */

/* As it is in saved, under "migrate". */
struct note {
	uint32_t state; /* RUNNING or PAUSED; IDLE: nothing is wanted */
	char what[MIGRATION_WHAT_MAX];
};

/* ---- the note ---- */

static int keep_note(struct memory *m, enum migration_state state, const char *what,
	struct err *err)
{
	struct note note = {.state = (uint32_t)state};
	struct saved_note saved = {"migrate", slice_of(&note, sizeof(note))};

	snprintf(note.what, sizeof(note.what), "%s", what);
	return saved_write(m->saved, NULL, 0, &saved, 1, err);
}

/* ---- the work ---- */

struct run {
	struct memory *m;
	uint64_t number;
};

static bool goes_on(const struct run *run)
{
	struct migration *g = run->m->migration;
	bool same;

	pthread_mutex_lock(&g->mutex);
	same = !g->closing && g->state == RUNNING && g->run == run->number;
	pthread_mutex_unlock(&g->mutex);
	return same;
}

/*
 * Here and not on the flush thread, which is not as nice (background.h). That one and a switch of the mode wait for
 * no more than a chunk.
 */
static int write_chunk(void *context, struct chunk *chunk, struct err *err)
{
	struct run *run = context;
	struct migration *g = run->m->migration;
	size_t skipped = migration_skipped(chunk); /* those are told before it is written */
	int ret = 0;

	if (chunk->count || chunk->adopted.len) {
		pthread_mutex_lock(&run->m->switching);
		pthread_mutex_lock(&run->m->flush.turn);
		ret = chunk_write(chunk, err);
		pthread_mutex_unlock(&run->m->flush.turn);
		pthread_mutex_unlock(&run->m->switching);
	}
	/* also of what was only read: nobody else does meanwhile */
	memory_resident_trim_background(run->m);
	if (ret)
		return ret;
	pthread_mutex_lock(&g->mutex);
	if (g->run == run->number) {
		migration_count(g, chunk, skipped);
		migration_tell_progress(run->m);
	}
	pthread_mutex_unlock(&g->mutex);
	g->at = chunk->to;
	return 0;
}

static int make_plan(struct run *run, struct err *err)
{
	struct migration *g = run->m->migration;
	struct wanted wanted;
	char what[sizeof(g->seen.what)];
	int ret;

	pthread_mutex_lock(&g->mutex);
	memcpy(what, g->seen.what, sizeof(what));
	pthread_mutex_unlock(&g->mutex);
	ret = wanted_read(&wanted, slice_str(what), err);
	if (!ret)
		ret = plan_make(&g->plan, run->m, &wanted);
	buf_release(&wanted.key);
	if (ret)
		return ret;
	g->planned = true;
	g->at = 0;
	pthread_mutex_lock(&g->mutex);
	if (g->run == run->number) {
		g->seen.total = g->plan.names.count;
		g->seen.type_count = g->plan.type_count;
		for (size_t i = 0; i < g->plan.type_count; i++)
			g->seen.types[i] = (struct memory_migration_type){
				g->plan.type_names[i], g->plan.type_counts[i], 0, 0};
	}
	pthread_mutex_unlock(&g->mutex);
	return 0;
}

/* Also when it goes on, after a pause or at a mount. False: it is paused. */
static bool tell_start(struct run *run)
{
	struct migration *g = run->m->migration;
	bool runs;

	pthread_mutex_lock(&g->mutex);
	runs = g->run == run->number && g->state == RUNNING;
	if (runs)
		migration_tell(run->m, "migration-started");
	pthread_mutex_unlock(&g->mutex);
	return runs;
}

static int work(struct run *run, struct err *err)
{
	struct memory *m = run->m;
	struct migration *g = m->migration;
	struct agree agree = {.migrate = true, .tolerant = true};
	struct walk walk = {0};
	int ret = g->planned ? 0 : make_plan(run, err);
	bool started;

	if (ret)
		return ret;
	started = tell_start(run);
	atomic_store(&m->flush.notes, true);
	memory_resident_tend(m, true);
	ret = walk_begin(&walk, m, &agree, &g->plan.names, g->at);
	while (!ret && walk_more(&walk) && goes_on(run)) {
		started = started || tell_start(run); /* paused for a moment, before */
		ret = walk_step(&walk, write_chunk, run, err);
	}
	walk_end(&walk);
	atomic_store(&m->flush.notes, false);
	memory_resident_tend(m, false);
	return ret;
}

static void explain(struct memory *m, int ret, struct err *err)
{
	if (ret == -ENODEV && atomic_load(&m->eav.state) == EAV_FAILED)
		memory_eav_reason(m, err);
	else if (ret == -ENODEV)
		err_set(err, ret, "the mode is %s now, which writes no EAV store",
			memory_mode_name(m));
	else if (!err->code)
		err_set(err, ret, "%s", strerror(-ret));
}

/* What ended by itself is wanted no more; what failed is tried again at the next mount, or when it is told to. */
static void finish(struct run *run, int ret, struct err *err)
{
	struct memory *m = run->m;
	struct migration *g = m->migration;
	bool over;

	if (ret)
		explain(m, ret, err);
	pthread_mutex_lock(&g->mutex);
	over = !ret && g->at == g->plan.names.count;
	if (g->run == run->number && g->state == RUNNING && !g->closing && (ret || over)) {
		if (ret)
			memcpy(g->seen.error, err->text, sizeof(g->seen.error));
		migration_set(g, ret ? FAILED : DONE);
		migration_tell(m, ret ? "migration-failed" : "migration-completed");
		if (over || migration_is_left_alone(m))
			keep_note(m, IDLE, "", NULL);
	}
	pthread_mutex_unlock(&g->mutex);
}

static void forget_plan(struct migration *g)
{
	plan_release(&g->plan);
	g->planned = false;
}

/* What can't be gone on with needs no plan any more. */
static void rest(struct memory *m)
{
	struct migration *g = m->migration;
	bool over;

	pthread_mutex_lock(&g->mutex);
	over = g->state == DONE || g->state == STOPPED;
	pthread_mutex_unlock(&g->mutex);
	if (over)
		forget_plan(g);
	memory_resident_rest(m);
}

static void *migrate(void *context)
{
	struct memory *m = context;
	struct migration *g = m->migration;
	uint64_t last = 0;

	background_thread(BACKGROUND_NICE);
	pthread_mutex_lock(&g->mutex);
	while (!g->closing) {
		struct run run = {m, g->run};
		struct err err = {0};

		if (g->state != RUNNING) {
			pthread_cond_wait(&g->wake, &g->mutex);
			continue;
		}
		pthread_mutex_unlock(&g->mutex);
		if (last != run.number) {
			forget_plan(g);
			last = run.number;
		}
		finish(&run, work(&run, &err), &err);
		rest(m);
		pthread_mutex_lock(&g->mutex);
	}
	pthread_mutex_unlock(&g->mutex);
	return NULL;
}

/* ---- steering; with mutex held ---- */

static int start_thread(struct memory *m, struct err *err)
{
	struct migration *g = m->migration;
	int ret = g->started ? 0 : pthread_create(&g->thread, NULL, migrate, m);

	if (ret)
		return err_set(err, -ret, "cannot start a thread: %s", strerror(ret));
	g->started = true;
	pthread_cond_signal(&g->wake);
	return 0;
}

static void begin(struct migration *g, const char *what, enum migration_state state)
{
	g->seen = (struct memory_migration){.started = memory_now(), .left_s = -1};
	snprintf(g->seen.what, sizeof(g->seen.what), "%s", what);
	g->active_ms = g->since_ms = 0;
	g->active_done = 0;
	g->run++;
	migration_set(g, state);
}

static int want(struct memory *m, struct slice word, struct err *err)
{
	struct migration *g = m->migration;
	char what[sizeof(g->seen.what)];
	int ret;

	if (g->state == RUNNING || g->state == PAUSED)
		return err_set(err, -EBUSY, "the migration of %.100s is %s", g->seen.what,
			g->seen.state);
	ret = wanted_check(m, word, err);
	if (ret)
		return ret;
	snprintf(what, sizeof(what), "%.*s", (int)word.len, word.ptr);
	ret = keep_note(m, RUNNING, what, err);
	if (ret)
		return ret;
	begin(g, what, RUNNING);
	return start_thread(m, err);
}

static int pause_or_resume(struct memory *m, enum migration_state from, enum migration_state to,
	struct err *err)
{
	struct migration *g = m->migration;
	int ret;

	if (g->state != from && !(to == RUNNING && g->state == FAILED))
		return err_set(err, -EINVAL, "no migration is %s", migration_state_name(from));
	ret = keep_note(m, to, g->seen.what, err);
	if (ret)
		return ret;
	g->seen.error[0] = '\0';
	migration_set(g, to);
	if (to == PAUSED)
		migration_tell(m, "migration-paused");
	return start_thread(m, err);
}

static int stop(struct memory *m, struct err *err)
{
	struct migration *g = m->migration;
	int ret;

	if (g->state != RUNNING && g->state != PAUSED && g->state != FAILED)
		return err_set(err, -EINVAL, "no migration is under way");
	ret = keep_note(m, IDLE, "", err);
	if (ret)
		return ret;
	migration_set(g, STOPPED);
	migration_tell(m, "migration-stopped");
	return 0;
}

int memory_migrate(struct memory *m, struct slice word, struct err *err)
{
	struct migration *g = m->migration;
	int ret;

	if (m->options.read_only)
		return err_set(err, -EROFS, "mounted read-only");
	if (memchr(word.ptr, '\0', word.len))
		return err_set(err, -EINVAL, "there is a NUL byte in it");
	word = slice_trim(word);
	pthread_mutex_lock(&g->mutex);
	if (slice_equal(word, SLICE_LITERAL("pause")))
		ret = pause_or_resume(m, RUNNING, PAUSED, err);
	else if (slice_equal(word, SLICE_LITERAL("resume")))
		ret = pause_or_resume(m, PAUSED, RUNNING, err);
	else if (slice_equal(word, SLICE_LITERAL("stop")))
		ret = stop(m, err);
	else
		ret = want(m, word, err);
	pthread_mutex_unlock(&g->mutex);
	return ret;
}

/* ---- with the memory ---- */

int memory_migration_new(struct memory *m)
{
	struct migration *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	mutex_init(&g->mutex, LOCK_MIGRATION);
	pthread_cond_init(&g->wake, NULL);
	g->seen = (struct memory_migration){.state = migration_state_name(IDLE), .left_s = -1};
	m->migration = g;
	return 0;
}

int memory_migration_start(struct memory *m, struct err *err)
{
	struct migration *g = m->migration;
	struct saved_reader reader;
	struct note note = {0};
	int ret = saved_read_begin(m->saved, &reader);

	if (!ret) {
		ret = saved_note_get(&reader, "migrate", &note, sizeof(note));
		saved_read_end(&reader);
	}
	note.what[sizeof(note.what) - 1] = '\0';
	if (ret || (note.state != RUNNING && note.state != PAUSED))
		return 0;
	pthread_mutex_lock(&g->mutex);
	begin(g, note.what, (enum migration_state)note.state);
	ret = start_thread(m, err);
	pthread_mutex_unlock(&g->mutex);
	return ret;
}

void memory_migration_stop(struct memory *m)
{
	struct migration *g = m->migration;

	if (!g || !g->started)
		return;
	pthread_mutex_lock(&g->mutex);
	g->closing = true;
	pthread_cond_signal(&g->wake);
	pthread_mutex_unlock(&g->mutex);
	pthread_join(g->thread, NULL);
	g->started = false;
}

void memory_migration_free(struct memory *m)
{
	struct migration *g = m->migration;

	if (!g)
		return;
	plan_release(&g->plan);
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->mutex);
	free(g);
}
