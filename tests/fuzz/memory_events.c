/* SPDX-License-Identifier: MIT */
#include "memory_program.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "edn.h"
#include "memory_validate.h"

enum { CUT_STEPS_MAX = 5, STATES = CUT_STEPS_MAX + 1 };

/* So long after a sync the stores hold nothing of what came since. */
enum { UNFLUSHED_NS = 40 * 1000 * 1000 };

static bool mode_is(struct fuzz *f, const char *mode)
{
	static struct memory_health health;

	memory_health(f->memory, &health);
	return strcmp(health.mode, mode) == 0;
}

void do_fsync(struct fuzz *f)
{
	struct err err = {0};

	well(memory_fsync(f->memory, &err), &err, "a sync");
}

void do_sync(struct fuzz *f)
{
	struct buf text = BUF_INIT;
	struct err err = {0};

	well(memory_sync(f->memory, &err), &err, "a sync");
	well(memory_text(f->memory, &text), &err, "the memory as text");
	must(mode_is(f, "datalevin-only") || place_edn_is(&f->place, buf_slice(&text)),
		"memory.edn holds everything");
	buf_release(&text);
}

void do_switch(struct fuzz *f)
{
	static const char *const words[] = {"edn-only", "dual-write", "datalevin-first",
		"datalevin-only", "force datalevin-only", "force :edn-only ", "bogus", ""};
	uint8_t which = program_next(f) % 8;
	bool was_edn = mode_is(f, "edn-only");
	struct err err = {0};
	int ret = answered(memory_switch(f->memory, slice_str(words[which]), &err));

	if (which >= 6)
		must(ret == -EINVAL, "no such mode");
	else if (which != 3 || (f->whole && !was_edn))
		well(ret, &err, "a switch");
	else
		must(!ret || ret == -EBUSY, "a switch is refused for what is missing");
	if (mode_is(f, "edn-only"))
		f->whole = false;
	else
		f->whole |= was_edn || mode_is(f, "datalevin-only");
}

/* ---- in the background ---- */

void do_migrate(struct fuzz *f)
{
	static const char *const words[] = {"all", "sessions", "projects", "learnings", ":config",
		"pause", "resume", "stop", "x"};
	static struct memory_migration migration;
	uint8_t which = program_next(f) % 9;
	int ret = answered(memory_migrate(f->memory, slice_str(words[which]), NULL));

	must(which != 8 || ret == -EINVAL, "no such migration");
	do {
		sched_yield();
		memory_migration(f->memory, &migration);
	} while (strcmp(migration.state, "running") == 0);
	must(migration.failed == 0 && strcmp(migration.state, "failed") != 0, "no migration fails");
	if (!ret && which == 0 && strcmp(migration.state, "done") == 0)
		f->whole = true;
}

static void wait_for_validation(struct fuzz *f, struct validation *v)
{
	for (;;) {
		must(memory_validation(f->memory, v) == 0, "memory");
		if (v->state != VALIDATION_RUNNING)
			return;
		validation_release(v);
		sched_yield();
	}
}

void do_validate(struct fuzz *f)
{
	static struct validation v;
	bool alone = mode_is(f, "datalevin-only");
	bool same = true;
	struct err err = {0};
	int ret = memory_validate(f->memory, slice_str("run"), &err);

	if (mode_is(f, "edn-only")) {
		must(ret == -ENODEV, "there is nothing to compare");
		return;
	}
	well(ret, &err, "a validation");
	wait_for_validation(f, &v);
	must(v.state == VALIDATION_DONE, "a validation comes to an end");
	for (int i = 0; i < VALIDATION_KINDS; i++)
		same &= !v.kinds[i] || (i == VALIDATION_ONLY_EDN && !f->whole) ||
			(alone && i <= VALIDATION_DIFFERENT);
	for (size_t i = 0; !same && i < v.first_count; i++)
		fprintf(stderr, "%s %s %s\n", validation_kind_names[v.first[i].kind],
			v.first[i].key, v.first[i].detail);
	must(same, "both stores are the same");
	validation_release(&v);
}

/* ---- the other writer ---- */

/*
 * theirs has come to memory.edn, and all else as it was. news: in the whole of it there was something new; nobody can tell
 * who wrote what we had left from who touched it, and whether he has seen it.
 */
static void adopt(struct fuzz *f, size_t which, struct hash128 theirs, bool news)
{
	struct slice path = slice_str(model_base_paths[which]);
	struct model_base *base = &f->model.bases[which];
	struct hash128 ours = model_identity(&f->model, path);
	bool untouched = hash128_equal(ours, base->identity);
	struct model seen = {.document_count = 0};
	struct memory_stat st;
	int ret;

	buf_reset(&f->bytes);
	ret = memory_read(f->memory, path, &st, &f->bytes, NULL);
	if (!ret)
		f->lost |= !model_put(&seen, f->schema, path, buf_slice(&f->bytes), &st);
	if (hash128_equal(ours, theirs)) {
		must(hash128_equal(model_identity(&seen, path), ours), "what is the same stays");
	} else if (untouched && hash128_equal(model_identity(&seen, path), theirs)) {
		model_remove(&f->model, path);
		if (!ret)
			f->lost |=
				!model_put(&f->model, f->schema, path, buf_slice(&f->bytes), &st);
	} else {
		must(hash128_equal(model_identity(&seen, path), ours), "nothing else comes of it");
		must(!untouched || base->touched, "what was not changed here is adopted");
	}
	*base = (struct model_base){theirs, !news};
	model_release(&seen);
}

static struct hash128 write_theirs(struct fuzz *f, size_t which, const struct edn *value)
{
	static const char *const keys[MODEL_BASES][2] = {
		{"config"}, {"notes/x"}, {"presence/s1", "alice"}};
	struct buf text = BUF_INIT;
	struct buf theirs = BUF_INIT;
	struct err err = {0};

	well(memory_text(f->memory, &text), &err, "the memory as text");
	place_change_text(&theirs, buf_slice(&text), keys[which][0], keys[which][1], value);
	place_write_edn(&f->place, buf_slice(&theirs));
	buf_release(&text);
	buf_release(&theirs);
	return value ? edn_identity(value) : (struct hash128){0};
}

void do_outside(struct fuzz *f)
{
	size_t which = program_next(f);
	bool removes = which >= 192;
	struct edn item = {.type = EDN_INT, .integer = ++f->fresh};
	struct edn value = {.type = EDN_VECTOR, .count = 1, .items = &item};
	struct hash128 theirs;
	bool news;

	which %= MODEL_BASES;
	/* a collection that comes or goes with its member is an entity of its own */
	if (mode_is(f, "datalevin-only") ||
		(which == 2 && !model_is_collection(&f->model, slice_str("presence/s1"))))
		return;
	theirs = write_theirs(f, which, removes ? NULL : &value);
	news = !hash128_equal(theirs,
		model_identity(&f->model, slice_str(model_base_paths[which])));
	do_sync(f);
	for (size_t i = 0; i < MODEL_BASES; i++)
		adopt(f, i,
			i == which ? theirs
				   : model_identity(&f->model, slice_str(model_base_paths[i])),
			news);
}

/* ---- a kill and a power cut ---- */

static struct timespec now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

static bool passed(struct timespec since, long long ns)
{
	struct timespec t = now();

	return (t.tv_sec - since.tv_sec) * 1000000000LL + t.tv_nsec - since.tv_nsec > ns;
}

/* One of the states was the last, or, if only the last counts, that one. */
static void check_states(struct fuzz *f, struct model *states, size_t count, bool last)
{
	const char *differs = "";
	size_t i = count;

	while (i-- > 0 && differs && (!last || i == count - 1))
		differs = model_differs(&states[i], f->memory);
	if (differs)
		fprintf(stderr, "%s\n", differs);
	must(!differs, "a moment since the sync is what is found");
	model_copy(&f->model, &states[i + 1]);
}

/* All that came after length is in the journal alone; a part of it is lost. */
static bool cut(const struct place *place, off_t synced, uint8_t part)
{
	off_t length;

	if (!place_journal_length(place, &length) || length <= synced)
		return false;
	place_cut_journal(place, synced + (length - synced) * part / 256);
	return true;
}

void do_cut(struct fuzz *f)
{
	static struct model states[STATES];
	uint8_t how = program_next(f);
	uint8_t part = program_next(f);
	size_t count = 0;
	struct place left;
	struct timespec start;
	off_t synced = 0;
	bool known, whole;

	do_sync(f); /* and nothing is due, so that the stores are left alone for a while from here on */
	start = now();
	do_put(f);
	do_fsync(f);
	known = place_journal_length(&f->place, &synced);
	model_copy(&states[count++], &f->model);
	for (size_t i = 0; i < how % CUT_STEPS_MAX && !f->lost; i++) {
		if (program_next(f) & 1)
			do_delete(f);
		else
			do_put(f);
		model_copy(&states[count++], &f->model);
	}
	whole = place_copy(&f->place, &left);
	/* our own rename of memory.edn may be looked at late, which writes it once more */
	if (!f->lost && whole && !passed(start, UNFLUSHED_NS)) {
		known = known && how & 128 && cut(&left, synced, part);
		close_memory(f);
		place_remove(&f->place);
		f->place = left;
		open_memory(f);
		check_states(f, states, count, !known);
	} else {
		place_remove(&left);
	}
	for (size_t i = 0; i < count; i++)
		model_release(&states[i]);
}
