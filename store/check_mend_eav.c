/* SPDX-License-Identifier: MIT */
#include "check_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eav_private.h"
#include "json.h"

/*
 * data.mdb anew: good documents, and the datoms and indexes that these give. Where a document is lacking, it gets
 * no watermark, by which the next mount knows that it must look for what is.
 */
enum { BATCH = 1000, BATCH_BYTES = 8 << 20 };

struct remake {
	struct check_run *run;
	struct eav *to;
	struct arena arena; /* of the batch */
	struct eav_item items[BATCH];
	size_t count, bytes;
	size_t documents, numbers; /* taken; given to documents, by the old index */
	size_t lacking;
	struct err *err;
};

static int flush(struct remake *r)
{
	int ret = r->count ? eav_write(r->to, r->items, r->count, NULL, 0, r->err) : 0;

	r->count = r->bytes = 0;
	arena_reset(&r->arena);
	return ret;
}

static bool copy(struct remake *r, struct slice *s)
{
	const void *kept = arena_copy(&r->arena, s->ptr, s->len);

	s->ptr = kept;
	return kept || !s->len;
}

static int add(struct remake *r, struct slice name, const struct eav_record *old)
{
	struct eav_record *record = arena_copy(&r->arena, old, sizeof(*old));
	struct edn *value = arena_alloc(&r->arena, sizeof(*value));
	int ret = 0;

	if (!record || !value || !copy(r, &name) || !copy(r, &record->type) ||
		!copy(r, &record->bytes))
		return -ENOMEM;
	if (record->deleted || record->collection)
		value = NULL;
	else
		ret = json_read(&r->arena, record->bytes, EDN_LOAD_DEPTH, value, NULL);
	if (ret == -ENOMEM)
		return ret;
	if (ret || (value && !hash128_equal(edn_identity(value), record->identity))) {
		r->lacking++;
		return 0;
	}
	r->documents++;
	r->items[r->count++] = (struct eav_item){name, record, value};
	r->bytes += record->bytes.len;
	return r->count == BATCH || r->bytes > BATCH_BYTES ? flush(r) : 0;
}

static int take_document(void *context, struct slice key, struct slice value)
{
	struct remake *r = context;
	struct eav_record record;
	struct eav_key again;
	struct slice name;

	if (eav_document_decode(eav_val(key), eav_val(value), &name, &record) ||
		eav_document_verify_bytes(eav_val(value), &record)) {
		r->lacking++;
		return 0;
	}
	eav_key_name(&again, name);
	if (!slice_equal(slice_of(again.bytes, again.len), key)) {
		r->lacking++;
		return 0;
	}
	return add(r, name, &record);
}

/* A document that is gone altogether has left its number. */
static int count_number(void *context, struct slice key, struct slice value)
{
	struct remake *r = context;

	(void)value;
	r->numbers += key.len == EAV_NUMBER;
	return 0;
}

static int take_note(void *context, struct slice name, struct slice value)
{
	static const char *const MADE[] = {"format", "check", "watermark", EAV_NEXT_ENTITY};
	struct remake *r = context;
	struct saved_note note = {.value = value};
	char text[64];

	for (size_t i = 0; i < sizeof(MADE) / sizeof(*MADE); i++)
		if (slice_equal(name, slice_str(MADE[i])))
			return 0;
	if (!name.len || name.len >= sizeof(text))
		return 0;
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	note.name = text;
	return eav_write(r->to, NULL, 0, &note, 1, r->err);
}

static int fill(struct remake *r)
{
	struct check_file *old = &r->run->eav;
	struct saved_note note = {"watermark", slice_of(&old->watermark, sizeof(old->watermark))};
	int ret = 0;

	if (old->readable)
		ret = env_pages_each(&old->pages, "documents", take_document, r, r->err);
	if (!ret)
		ret = flush(r);
	if (!ret && old->readable)
		ret = env_pages_each(&old->pages, "ourofs", take_note, r, r->err);
	if (!ret && old->readable)
		ret = env_pages_each(&old->pages, "eav", count_number, r, r->err);
	if (r->numbers > r->documents + r->lacking)
		r->lacking = r->numbers - r->documents;
	if (ret || r->lacking || !old->sound || r->run->ahead || r->run->lacks ||
		!old->has_watermark)
		return ret;
	return eav_write(r->to, NULL, 0, &note, 1, r->err);
}

int check_mend_eav(struct check_run *run, int fd, const char *path, struct err *err)
{
	struct remake *r = calloc(1, sizeof(*r));
	int ret = r ? 0 : -ENOMEM;

	if (ret)
		return err_set(err, ret, "out of memory");
	r->run = run;
	r->err = err;
	ret = eav_open(&r->to, fd, path, false, err);
	if (!ret)
		ret = fill(r);
	eav_close(r->to);
	if (!ret && r->lacking)
		check_done(run->check, run->eav.name,
			"%zu of its documents could not be read: the next mount brings them back "
			"from memory.edn and what is saved",
			r->lacking);
	arena_release(&r->arena);
	free(r);
	return ret && !err->code ? err_set(err, ret, "data.mdb: %s", strerror(-ret)) : ret;
}
