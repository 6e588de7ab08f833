/* SPDX-License-Identifier: MIT */
#include "check_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "journal.h"
#include "json.h"
#include "memory_internal.h"
#include "mode_file.h"
#include "saved_private.h"

/* What STORE/saved/ holds, record by record. */
struct scan {
	struct check_run *run;
	struct table inos; /* 8 bytes: those of documents -> the table itself */
	struct table
		gone;    /* names of documents that the journal deletes since -> the table itself */
	bool has_gone;   /* it was asked, */
	int gone_ret;    /* and that came of it */
	struct buf text; /* scratch */
};

static void problem(struct scan *s, struct slice name, const char *what)
{
	const char *where = check_name(&s->text, name);

	check_problem(s->run->check, s->run->saved.name, where ? where : "", "%s", what);
}

/* ---- notes ---- */

enum {
	NUMBER = sizeof(uint64_t),
	FILE_NOTE = sizeof(struct memory_file_note),
	TIME = sizeof(struct timespec),
};

bool check_note_bytes(struct slice name, size_t *bytes)
{
	static const struct {
		const char *name;
		size_t bytes;
	} NOTES[] = {{"watermark", NUMBER}, {"next_ino", NUMBER}, {"version", NUMBER},
		{"epoch", NUMBER}, {"mode", NUMBER}, {"eav", NUMBER}, {"first_seen", TIME},
		{"file", FILE_NOTE}, {"intent", FILE_NOTE}};

	for (size_t i = 0; i < sizeof(NOTES) / sizeof(*NOTES); i++) {
		if (!slice_equal(name, slice_str(NOTES[i].name)))
			continue;
		*bytes = NOTES[i].bytes;
		return true;
	}
	return false;
}

static void take_number(struct scan *s, struct slice name, struct slice value)
{
	const struct {
		const char *name;
		uint64_t *number;
	} numbers[] = {{"next_ino", &s->run->next_ino}, {"version", &s->run->version},
		{"epoch", &s->run->epoch}, {"mode", &s->run->mode}, {"eav", &s->run->eav_current}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (slice_equal(name, slice_str(numbers[i].name)))
			memcpy(numbers[i].number, value.ptr, NUMBER);
}

static int take_note(void *context, struct slice name, struct slice value)
{
	struct scan *s = context;
	struct memory_file_note file;
	char where[64];
	size_t bytes;

	if (!check_note_bytes(name, &bytes))
		return 0;
	if (value.len != bytes) {
		snprintf(where, sizeof(where), "note %.*s", (int)name.len, name.ptr);
		check_problem(s->run->check, s->run->saved.name, where, "it has %zu bytes, not %zu",
			value.len, bytes);
	} else if (bytes == NUMBER) {
		take_number(s, name, value);
	} else if (bytes == FILE_NOTE) {
		memcpy(&file, value.ptr, sizeof(file));
		if (file.sequence > s->run->top_sequence)
			s->run->top_sequence = file.sequence;
		if (slice_equal(name, SLICE_LITERAL("file")))
			s->run->file_sequence = file.sequence;
	}
	return 0;
}

static void check_notes(struct check_run *run)
{
	const char *name = run->saved.name;

	if (run->mode > MODE_DATALEVIN_ONLY)
		check_problem(run->check, name, "note mode", "there is no mode %" PRIu64,
			run->mode);
	if (run->next_ino && run->top_ino >= run->next_ino)
		check_problem(run->check, name, "note next_ino",
			"it is %" PRIu64 ", and %" PRIu64 " is given already", run->next_ino,
			run->top_ino);
	if (run->top_epoch > run->epoch)
		check_problem(run->check, name, "note epoch",
			"it is %" PRIu64 ", and a record's base is of %" PRIu64, run->epoch,
			run->top_epoch);
}

/* ---- records ---- */

int check_saved_value(const struct saved_record *r, const char **what)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret = 1;

	if (r->text.ptr && !hash128_equal(hash128(r->text.ptr, r->text.len), r->text_hash)) {
		*what = "its text is not the one that it names";
		return 0;
	}
	if (!r->has_bytes || (!r->identity.high && !r->identity.low))
		return 1;
	ret = json_read(&arena, r->bytes, EDN_LOAD_DEPTH, &value, NULL);
	if (ret != -ENOMEM)
		ret = !ret && hash128_equal(edn_identity(&value), r->identity);
	*what = "its bytes are not the value that it names";
	arena_release(&arena);
	return ret;
}

static int check_ino(struct scan *s, struct slice name, uint64_t ino)
{
	struct slice key = slice_of(&ino, sizeof(ino));

	if (!ino)
		return 0;
	if (!(ino & INO_HASHED) && ino > s->run->top_ino)
		s->run->top_ino = ino;
	if (!table_get(&s->inos, key))
		return table_put(&s->inos, key, &s->inos, NULL);
	problem(s, name, "its inode number is another document's, too");
	return 0;
}

static bool is_document(struct slice name, const struct saved_record *r)
{
	return name.len && (name.ptr[0] == 'D' || name.ptr[0] == 'M') && !r->deleted &&
	       !r->collection;
}

static int take_gone(void *context, const struct journal_record *record, struct err *err)
{
	struct scan *s = context;
	struct slice rest = record->payload;
	struct change c;
	int ret = 0;

	(void)err;
	while (!ret && record->sequence <= s->run->eav.watermark && rest.len &&
		change_decode(&rest, &c) == 0) {
		if (c.kind != CHANGE_DELETE)
			continue;
		buf_reset(&s->text);
		entity_id_name(&s->text, c.id);
		ret = buf_error(&s->text);
		if (!ret)
			ret = table_put(&s->gone, buf_slice(&s->text), &s->gone, NULL);
	}
	return ret;
}

/* The EAV store may be ahead of what is saved: after a kill between the two, and in a copy of a store in use. */
static bool may_be_gone(struct scan *s, struct slice name)
{
	const struct check_run *run = s->run;

	if (run->eav.watermark == run->saved.watermark)
		return false;
	if (!s->has_gone)
		s->gone_ret = journal_replay_only(run->check->dir_fd, run->saved.watermark,
			take_gone, s, NULL);
	s->has_gone = true;
	/* the journal's own check tells of what is wrong there */
	return s->gone_ret || table_get(&s->gone, name);
}

/*
 * Used alone, the EAV store is written before what is saved. What is damaged there was told; to one that is behind
 * the next mount brings all that it lacks.
 */
static void check_eav_has(struct scan *s, struct slice name)
{
	struct check_run *run = s->run;
	const char *where;

	if (run->mode != MODE_DATALEVIN_ONLY || !run->eav.sound || !run->eav.has_watermark ||
		run->eav.watermark < run->saved.watermark || run->saved.pages.older ||
		table_get(&run->documents, name) || may_be_gone(s, name))
		return;
	where = check_name(&s->text, name);
	run->lacks = true;
	run->eav.problems++;
	check_problem(run->check, run->eav.name, where ? where : "",
		"the document is not there, and was saved");
}

static int take_record(void *context, struct slice key, struct slice value)
{
	MDB_val k = {key.len, (void *)(uintptr_t)key.ptr};
	MDB_val v = {value.len, (void *)(uintptr_t)value.ptr};
	struct scan *s = context;
	struct saved_record r;
	struct entity_id id;
	struct slice name;
	const char *what;
	int ret;

	if (saved_decode(k, v, &name, &r)) {
		problem(s, name, "its record is damaged");
		return 0;
	}
	if (r.damaged)
		problem(s, name, "its bytes are damaged");
	if ((name.ptr[0] == 'D' || name.ptr[0] == 'M') && !entity_id_of_name(name, &id))
		problem(s, name, "its name says nothing");
	if (r.base.epoch > s->run->top_epoch)
		s->run->top_epoch = r.base.epoch;
	if (r.sequence > s->run->top_sequence)
		s->run->top_sequence = r.sequence;
	if (r.version > s->run->top_version)
		s->run->top_version = r.version;
	if (!is_document(name, &r))
		return 0;
	check_eav_has(s, name);
	ret = check_saved_value(&r, &what);
	if (!ret)
		problem(s, name, what);
	return ret < 0 ? ret : check_ino(s, name, r.ino);
}

int check_saved(struct check_run *run, struct err *err)
{
	struct check_file *file = &run->saved;
	struct scan s = {.run = run};
	size_t eav_problems = run->eav.problems;
	enum mode kept;
	int ret = 0;

	run->epoch = run->version = 1;
	run->mode = MODE_DEFAULT;
	if (file->fd < 0 && (run->eav.rows || mode_file_read(run->check->dir_fd, &kept)))
		check_problem(run->check, file->name, "", "it is not there");
	if (file->readable && !file->notes_damaged)
		ret = env_pages_each(&file->pages, "ourofs", take_note, &s, err);
	if (file->readable && !ret)
		ret = env_pages_each(&file->pages, "documents", take_record, &s, err);
	if (!ret)
		check_notes(run);
	file->problems = run->check->in_file - (run->eav.problems - eav_problems);
	table_release(&s.inos, NULL);
	table_release(&s.gone, NULL);
	buf_release(&s.text);
	return ret;
}
