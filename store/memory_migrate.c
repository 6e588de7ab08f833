/* SPDX-License-Identifier: MIT */
#include "memory_migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/*
 * Migration: a thread of its own compares entities and makes of them what the EAV store is to hold; the
 * flush thread writes that, a chunk at a time, between the batches of what is saved meanwhile. What was wanted
 * is a note in saved: what a chunk has brought is found there by the next run, and skipped.
 */
enum { NICE = 10 };

enum state { IDLE, RUNNING, PAUSED, DONE, FAILED, STOPPED };

static const char *const STATES[] = {"idle", "running", "paused", "done", "failed", "stopped"};

/* As it is in saved, under "migrate". */
struct note {
	uint32_t state; /* RUNNING or PAUSED; IDLE: nothing is wanted */
	char what[MIGRATION_WHAT_MAX];
};

struct migration {
	pthread_t thread;
	bool started; /* the thread; memory_migrate's, under mutex */
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	/* guarded by mutex */
	bool closing;
	enum state state;
	uint64_t run; /* a number for each that began */
	struct memory_migration seen;
	int64_t active_ms;  /* how long it has worked, pauses not included */
	int64_t since_ms;   /* monotonic: since when it works; 0: it does not */
	size_t active_done; /* of done: in that time */
	/* the thread's own */
	struct plan plan;
	bool planned;
	size_t at; /* of the plan: what is before is done */
};

/* ---- the note ---- */

static int keep_note(struct memory *m, enum state state, const char *what, struct err *err)
{
	struct note note = {.state = (uint32_t)state};
	struct saved_note saved = {"migrate", slice_of(&note, sizeof(note))};

	snprintf(note.what, sizeof(note.what), "%s", what);
	return saved_write(m->saved, NULL, 0, &saved, 1, err);
}

/* ---- progress; with mutex held ---- */

static double active_s(const struct migration *g)
{
	int64_t ms = g->active_ms + (g->since_ms ? pace_now_ms() - g->since_ms : 0);

	return (double)ms / 1000;
}

static void set_state(struct migration *g, enum state state)
{
	int64_t now = pace_now_ms();

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
	struct entity_id id;

	if (g->seen.failure_count == MIGRATION_FAILURES_MAX)
		return;
	to = &g->seen.failures[g->seen.failure_count++];
	if (!entity_id_of_name(failure->name, &id))
		id = (struct entity_id){.key = failure->name};
	snprintf(to->key, sizeof(to->key), id.member.ptr ? "[%.*s %.*s]" : "%.*s", (int)id.key.len,
		id.key.ptr, (int)id.member.len, id.member.ptr);
	snprintf(to->error, sizeof(to->error), "%s", strerror(-failure->ret));
}

static bool has_failed(const struct chunk *chunk, struct slice name)
{
	for (const struct agree_failure *f = chunk->failures; f; f = f->next)
		if (slice_equal(f->name, name))
			return true;
	return false;
}

static void count_chunk(struct migration *g, const struct chunk *chunk, size_t written)
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
	g->seen.skipped += chunk->to - chunk->from - failed - written;
	g->active_done += chunk->to - chunk->from;
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

/* A switch of the mode, which needs the flush thread as well, waits for no more than a chunk. */
static int write_chunk(void *context, struct chunk *chunk, struct err *err)
{
	struct run *run = context;
	struct migration *g = run->m->migration;
	struct flush_job job = {.kind = JOB_CHUNK, .chunk = chunk, .names = &g->plan.names};
	size_t made = chunk->count;
	int ret = 0;

	if (made || chunk->adopted.len) {
		pthread_mutex_lock(&run->m->switching);
		ret = memory_run_job(run->m, &job, err);
		pthread_mutex_unlock(&run->m->switching);
	}
	if (ret)
		return ret;
	pthread_mutex_lock(&g->mutex);
	if (g->run == run->number)
		count_chunk(g, chunk, made);
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

static int work(struct run *run, struct err *err)
{
	struct memory *m = run->m;
	struct migration *g = m->migration;
	struct agree agree = {.migrate = true, .tolerant = true};
	struct walk walk = {.m = m, .agree = &agree, .names = &g->plan.names};
	int ret = g->planned ? 0 : make_plan(run, err);

	if (ret)
		return ret;
	atomic_store(&m->flush.notes, true);
	ret = walk_begin(&walk, g->at);
	while (!ret && walk_more(&walk) && goes_on(run))
		ret = walk_step(&walk, write_chunk, run, err);
	walk_end(&walk);
	atomic_store(&m->flush.notes, false);
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
		set_state(g, ret ? FAILED : DONE);
		if (over)
			keep_note(m, IDLE, "", NULL);
	}
	pthread_mutex_unlock(&g->mutex);
}

static void *migrate(void *context)
{
	struct memory *m = context;
	struct migration *g = m->migration;
	uint64_t last = 0;

	/* of this thread, and those that it starts: people come first */
	setpriority(PRIO_PROCESS, 0, NICE);
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
			plan_release(&g->plan);
			g->planned = false;
			last = run.number;
		}
		finish(&run, work(&run, &err), &err);
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

static void begin(struct migration *g, const char *what, enum state state)
{
	g->seen = (struct memory_migration){.started = memory_now(), .left_s = -1};
	snprintf(g->seen.what, sizeof(g->seen.what), "%s", what);
	g->active_ms = g->since_ms = 0;
	g->active_done = 0;
	g->run++;
	set_state(g, state);
}

static bool has_key(struct memory *m, struct slice key)
{
	struct ednfile_item item;
	bool has;

	pthread_rwlock_rdlock(&m->lock);
	has = ednfile_get(m->file, key, (struct slice){0}, &item) == 0 ||
	      ednfile_is_collection(m->file, key);
	pthread_rwlock_unlock(&m->lock);
	return has;
}

static int check_wanted(struct memory *m, struct slice word, struct err *err)
{
	struct wanted wanted;
	int ret = wanted_read(&wanted, word, err);

	if (!ret && word.len >= sizeof(((struct note *)0)->what))
		ret = err_set(err, -EINVAL, "the key is too long");
	if (!ret && wanted.what == WANTED_KEY && !has_key(m, buf_slice(&wanted.key)))
		ret = err_set(err, -EINVAL, "there is no key %.*s",
			wanted.key.len < 150 ? (int)wanted.key.len : 150, wanted.key.ptr);
	if (!ret && !mode_row((enum mode)atomic_load(&m->mode))->writes_eav)
		ret = err_set(err, -EBUSY,
			"the mode is %s, which writes no EAV store: switch to dual-write or "
			"datalevin-first, which migrates everything",
			memory_mode_name(m));
	buf_release(&wanted.key);
	return ret;
}

static int want(struct memory *m, struct slice word, struct err *err)
{
	struct migration *g = m->migration;
	char what[sizeof(g->seen.what)];
	int ret;

	if (g->state == RUNNING || g->state == PAUSED)
		return err_set(err, -EBUSY, "the migration of %.100s is %s", g->seen.what,
			g->seen.state);
	ret = check_wanted(m, word, err);
	if (ret)
		return ret;
	snprintf(what, sizeof(what), "%.*s", (int)word.len, word.ptr);
	ret = keep_note(m, RUNNING, what, err);
	if (ret)
		return ret;
	begin(g, what, RUNNING);
	return start_thread(m, err);
}

static int pause_or_resume(struct memory *m, enum state from, enum state to, struct err *err)
{
	struct migration *g = m->migration;
	int ret;

	if (g->state != from && !(to == RUNNING && g->state == FAILED))
		return err_set(err, -EINVAL, "no migration is %s", STATES[from]);
	ret = keep_note(m, to, g->seen.what, err);
	if (ret)
		return ret;
	g->seen.error[0] = '\0';
	set_state(g, to);
	return start_thread(m, err);
}

static int stop(struct memory *m, struct err *err)
{
	struct migration *g = m->migration;
	int ret;

	if (g->state != RUNNING && g->state != PAUSED && g->state != FAILED)
		return err_set(err, -EINVAL, "no migration is under way");
	ret = keep_note(m, IDLE, "", err);
	if (!ret)
		set_state(g, STOPPED);
	return ret;
}

static struct slice trim(struct slice word)
{
	while (word.len && strchr(" \t\r\n", word.ptr[word.len - 1]))
		word.len--;
	while (word.len && strchr(" \t\r\n", word.ptr[0]))
		word = slice_of(word.ptr + 1, word.len - 1);
	return word;
}

int memory_migrate(struct memory *m, struct slice word, struct err *err)
{
	struct migration *g = m->migration;
	int ret;

	if (m->options.read_only)
		return err_set(err, -EROFS, "mounted read-only");
	if (memchr(word.ptr, '\0', word.len))
		return err_set(err, -EINVAL, "there is a NUL byte in it");
	word = trim(word);
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

/* ---- with the memory ---- */

int memory_migration_new(struct memory *m)
{
	struct migration *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	pthread_mutex_init(&g->mutex, NULL);
	pthread_cond_init(&g->wake, NULL);
	g->seen = (struct memory_migration){.state = STATES[IDLE], .left_s = -1};
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
	begin(g, note.what, (enum state)note.state);
	ret = start_thread(m, err);
	pthread_mutex_unlock(&g->mutex);
	return ret;
}

void memory_migration_stop(struct memory *m)
{
	struct migration *g = m->migration;

	if (!g->started)
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
