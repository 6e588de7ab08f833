/* SPDX-License-Identifier: MIT */
#include "check_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eav_private.h"
#include "memory_internal.h"
#include "mode_file.h"
#include "saved_private.h"

/*
 * STORE/saved/ anew. Good records are taken as they are. For a document whose record is damaged comes what the
 * EAV store has of it; where that may be another value than memory.edn's, neither is overwritten: the base is
 * one that nobody has, so that a merge with another writer's file keeps both.
 */
enum { BATCH = 1000, BATCH_BYTES = 8 << 20 };

struct remake {
	struct check_run *run;
	struct saved *to;
	struct arena arena; /* of the batch */
	struct saved_item items[BATCH];
	size_t count, bytes;
	struct table wanted; /* names -> the head of a record that lacks its bytes, or no_head */
	struct saved_record no_head;
	struct table have; /* names; only where all that the old one lacks is wanted */
	struct table inos;
	size_t found; /* of what is wanted */
	bool all;
	bool outdated; /* of documents, the EAV store knows better */
	uint64_t next_ino;
	bool has_mode, has_file, has_first_seen; /* notes */
	struct err *err;
};

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- what is left of it, and what the others have ---- */

/* The state before the last commit is all there is, and the journal does not know what came then. */
static bool is_older(const struct check_run *run)
{
	return run->saved.readable && run->saved.pages.older &&
	       !(run->has_journal && run->saved.has_watermark &&
		       run->journal_first <= run->saved.watermark + 1);
}

/* The EAV store, used and as it should be, has all that was saved: it is written first. */
static bool eav_has_all(const struct check_run *run)
{
	return run->saved.has_watermark && run->eav_current == 1 && run->eav.sound &&
	       !run->eav.problems && run->eav.has_watermark &&
	       run->eav.watermark >= run->saved.watermark;
}

/*
 * Is there a value that nothing else has for certain? memory.edn has all that it was written with. Of what was deleted at
 * last the EAV store tells where it is used alone.
 */
static bool is_doubtful(const struct remake *r)
{
	const struct check_run *run = r->run;
	bool alone = run->mode == MODE_DATALEVIN_ONLY;
	bool edn = run->saved.has_watermark && !is_older(run) && !alone &&
		   run->file_sequence >= run->saved.watermark;
	bool eav = eav_has_all(run) && (alone || !is_older(run));

	return !edn && !eav &&
	       (!run->saved.sound || run->saved.notes_damaged || r->wanted.count > r->found);
}

/* ---- batches ---- */

static int flush(struct remake *r)
{
	int ret = r->count ? saved_write(r->to, r->items, r->count, NULL, 0, r->err) : 0;

	r->count = r->bytes = 0;
	arena_reset(&r->arena);
	return ret;
}

static int add(struct remake *r, struct slice name, const struct saved_record *record)
{
	struct saved_record *copy = arena_copy(&r->arena, record, sizeof(*record));
	const char *kept = arena_copy(&r->arena, name.ptr, name.len);
	struct slice *body;
	int ret = 0;

	if (!copy || !kept)
		return -ENOMEM;
	body = copy->has_bytes ? &copy->bytes : &copy->text;
	if (body->ptr)
		body->ptr = arena_copy(&r->arena, body->ptr, body->len);
	if (body->len && !body->ptr)
		return -ENOMEM;
	r->items[r->count++] = (struct saved_item){slice_of(kept, name.len), copy};
	r->bytes += body->len;
	if (r->all)
		ret = table_put(&r->have, name, &r->have, NULL);
	if (!ret && (r->count == BATCH || r->bytes > BATCH_BYTES))
		ret = flush(r);
	return ret;
}

/* ---- the old records ---- */

static int want(struct remake *r, struct slice name, const struct saved_record *head)
{
	struct saved_record *copy = &r->no_head;
	void *old = NULL;
	int ret;

	if (head) {
		copy = malloc(sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		*copy = *head;
		copy->bytes = copy->text = slice_of(NULL, 0);
		copy->has_bytes = false;
	}
	ret = table_put(&r->wanted, name, copy, &old);
	if (ret)
		old = copy;
	if (old != &r->no_head)
		free(old);
	return ret;
}

static void release_wanted(struct remake *r)
{
	struct slice name;
	size_t at = 0;
	void *head;

	while (table_next(&r->wanted, &at, &name, &head))
		if (head != &r->no_head)
			free(head);
	table_release(&r->wanted, NULL);
}

/* Two documents never share a number: the second gets a new one. */
static int settle_ino(struct remake *r, struct saved_record *record)
{
	struct slice key = slice_of(&record->ino, sizeof(record->ino));

	if (!record->ino || record->deleted || record->collection)
		return 0;
	if (table_get(&r->inos, key))
		record->ino = r->next_ino++;
	if (!(record->ino & INO_HASHED) && record->ino >= r->next_ino)
		r->next_ino = record->ino + 1;
	return table_put(&r->inos, key, &r->inos, NULL);
}

static int take_document(struct remake *r, struct slice name, struct saved_record *record)
{
	const char *what;
	int good = record->damaged ? 0 : check_saved_value(record, &what);
	int ret = good < 0 ? good : settle_ino(r, record);

	if (!ret && !good)
		ret = want(r, name, record);
	if (!good) {
		record->has_bytes = false;
		record->bytes = record->text = slice_of(NULL, 0);
	}
	return ret ? ret : add(r, name, record);
}

static int take_record(void *context, struct slice key, struct slice value)
{
	struct remake *r = context;
	struct saved_record record;
	struct entity_id id;
	struct slice name;
	bool good = !saved_decode(eav_val(key), eav_val(value), &name, &record);
	char tag = key.len ? key.ptr[0] : '\0';

	if (tag == 'X')
		record = (struct saved_record){0}; /* its name says it all */
	if (tag == 'X' || (good && tag != 'D' && tag != 'M'))
		return add(r, key.ptr[0] == 'X' ? key : name, &record);
	if (tag != 'D' && tag != 'M')
		return 0;
	if (!name.len)
		r->all = true; /* a long name that is gone with it */
	if (!name.len || !entity_id_of_name(name, &id))
		return 0;
	if (r->outdated && good && !record.deleted && !record.collection)
		return 0;
	return good ? take_document(r, name, &record) : want(r, name, NULL);
}

/* ---- what the EAV store has ---- */

/*
 * What memory.edn had when both were last equal is known where the EAV store was used alone since. Else it may lack
 * the last of what was saved, or be another writer's.
 */
static struct saved_base base_of(const struct remake *r, const struct eav_record *e)
{
	struct saved_base base = {.epoch = r->run->epoch, .value = IDENTITY_UNKNOWN};

	if (!e->base_exists)
		base.value = IDENTITY_ABSENT;
	else if (e->deleted || !hash128_equal(e->base, e->identity))
		base.value = e->base;
	return base;
}

static struct saved_record record_of(const struct remake *r, const struct eav_record *e)
{
	if (e->deleted)
		return (struct saved_record){
			.deleted = true, .sequence = e->transaction, .base = base_of(r, e)};
	return (struct saved_record){.has_bytes = true,
		.has_mtime = e->has_mtime,
		.mode = e->mode,
		.mtime = e->mtime,
		.ino = e->ino,
		.version = e->version,
		.text_hash = e->text_hash,
		.identity = e->identity,
		.sequence = e->transaction,
		.base = base_of(r, e),
		.bytes = e->bytes};
}

static int take_eav(void *context, struct slice key, struct slice value)
{
	struct remake *r = context;
	struct eav_record eav;
	struct saved_record record;
	struct saved_record *head;
	struct slice name;
	int ret;

	if (eav_document_decode(eav_val(key), eav_val(value), &name, &eav) ||
		eav_document_verify_bytes(eav_val(value), &eav) || eav.collection)
		return 0;
	head = table_get(&r->wanted, name);
	if (!head && (!r->all || table_get(&r->have, name)))
		return 0;
	if (!head)
		head = &r->no_head;
	record = record_of(r, &eav);
	if (head != &r->no_head && !eav.deleted && hash128_equal(head->identity, eav.identity)) {
		record = *head;
		record.has_bytes = true;
		record.bytes = eav.bytes;
		record.damaged = false;
	} else if (head != &r->no_head && head->sequence > eav.transaction) {
		return 0; /* an older value */
	}
	r->run->top_version = most(r->run->top_version, record.version);
	r->found += table_get(&r->wanted, name) != NULL;
	ret = head == &r->no_head ? settle_ino(r, &record) : 0;
	return ret ? ret : add(r, name, &record);
}

/* ---- notes ---- */

static int take_note(void *context, struct slice name, struct slice value)
{
	static const char *const MADE[] = {
		"format", "check", "watermark", "next_ino", "version", "epoch"};
	struct remake *r = context;
	struct saved_note note = {.value = value};
	char text[64];
	size_t bytes;
	bool known = check_note_bytes(name, &bytes);

	for (size_t i = 0; i < sizeof(MADE) / sizeof(*MADE); i++)
		if (slice_equal(name, slice_str(MADE[i])))
			return 0;
	if ((known && (bytes != value.len || r->run->saved.notes_damaged)) || !name.len ||
		name.len >= sizeof(text))
		return 0;
	if (slice_equal(name, SLICE_LITERAL("mode"))) {
		if (r->run->mode > MODE_DATALEVIN_ONLY)
			return 0;
		r->has_mode = true;
	}
	r->has_file |= slice_equal(name, SLICE_LITERAL("file"));
	r->has_first_seen |= slice_equal(name, SLICE_LITERAL("first_seen"));
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	note.name = text;
	return saved_write(r->to, NULL, 0, &note, 1, r->err);
}

/*
 * Of all that the journal has the next mount makes sure: replaying it once more changes nothing else. What it begins behind
 * has been saved, whatever is left of that.
 */
static uint64_t watermark_of(const struct check_run *run)
{
	uint64_t watermark = most(run->top_sequence, run->eav.watermark);

	if (run->saved.has_watermark && !run->ahead && !is_older(run))
		watermark = run->saved.watermark;
	if (run->has_journal && run->journal_first &&
		(watermark >= run->journal_first || !run->saved.has_watermark || !run->saved.sound))
		watermark = run->journal_first - 1;
	return watermark;
}

static int write_notes(struct remake *r)
{
	const struct check_run *run = r->run;
	const struct memory_file_note nobodys = {0};
	uint64_t mode = MODE_DEFAULT;
	enum mode kept;
	uint64_t watermark = watermark_of(run);
	uint64_t version = most(run->version, run->top_version);
	uint64_t epoch = most(run->epoch, run->top_epoch);
	struct timespec now = memory_now();
	struct saved_note notes[7] = {{"watermark", slice_of(&watermark, sizeof(watermark))},
		{"next_ino", slice_of(&r->next_ino, sizeof(r->next_ino))},
		{"version", slice_of(&version, sizeof(version))},
		{"epoch", slice_of(&epoch, sizeof(epoch))}};
	size_t count = 4;

	/* with these gone nobody knows what memory.edn was: then it is another writer's, and merged */
	if (!r->has_mode && mode_file_read(run->check->dir_fd, &kept))
		mode = kept;
	if (!r->has_mode)
		notes[count++] = (struct saved_note){"mode", slice_of(&mode, sizeof(mode))};
	if (!r->has_first_seen)
		notes[count++] = (struct saved_note){"first_seen", slice_of(&now, sizeof(now))};
	if (!r->has_file && (!run->saved.sound || run->saved.notes_damaged))
		notes[count++] = (struct saved_note){"file", slice_of(&nobodys, sizeof(nobodys))};
	return saved_write(r->to, NULL, 0, notes, count, r->err);
}

/* ---- all of it ---- */

static int fill(struct remake *r)
{
	struct check_run *run = r->run;
	struct env_pages *old = &run->saved.pages;
	struct env_pages *eav = &run->eav.pages;
	int ret = 0;

	if (run->saved.readable)
		ret = env_pages_each(old, "documents", take_record, r, r->err);
	if (!ret)
		ret = flush(r);
	if (!ret && run->eav.readable)
		ret = env_pages_each(eav, "documents", take_eav, r, r->err);
	if (!ret)
		ret = flush(r);
	if (!ret && run->saved.readable)
		ret = env_pages_each(old, "ourofs", take_note, r, r->err);
	run->check->doubtful = is_doubtful(r);
	return ret ? ret : write_notes(r);
}

int check_mend_saved(struct check_run *run, int fd, const char *path, struct err *err)
{
	struct remake *r = calloc(1, sizeof(*r));
	int ret = r ? 0 : -ENOMEM;

	if (ret)
		return err_set(err, ret, "out of memory");
	r->run = run;
	r->err = err;
	r->all = !run->saved.sound;
	r->outdated = is_older(run) && eav_has_all(run);
	r->next_ino = most(most(run->next_ino, run->top_ino + 1), INO_FIRST);
	ret = saved_open(&r->to, fd, path, false, err);
	if (!ret)
		ret = fill(r);
	saved_close(r->to);
	release_wanted(r);
	table_release(&r->have, NULL);
	table_release(&r->inos, NULL);
	arena_release(&r->arena);
	free(r);
	return ret && !err->code ? err_set(err, ret, "saved/data.mdb: %s", strerror(-ret)) : ret;
}
