/* SPDX-License-Identifier: MIT */
#include "memory_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "path.h"

const char *const model_base_paths[MODEL_BASES] = {
	"config.json", "notes/x.json", "presence/s1/alice.json"};

void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void set(struct buf *buf, struct slice bytes)
{
	buf_reset(buf);
	buf_add_slice(buf, bytes);
	must(buf_error(buf) == 0, "memory");
}

static struct slice parent_of(struct slice path)
{
	while (path.len && path.ptr[path.len - 1] != '/')
		path.len--;
	path.len -= path.len > 0;
	return path;
}

/* Is path below directory? Everything is below the root. */
static bool is_below(struct slice path, struct slice directory)
{
	return !directory.len || (path.len > directory.len && slice_starts(path, directory) &&
					 path.ptr[directory.len] == '/');
}

static void document_release(struct model_document *document)
{
	buf_release(&document->path);
	buf_release(&document->bytes);
	*document = (struct model_document){.path = BUF_INIT};
}

void model_release(struct model *model)
{
	for (size_t i = 0; i < model->document_count; i++)
		document_release(&model->documents[i]);
	for (size_t i = 0; i < model->collection_count; i++)
		buf_release(&model->collections[i]);
	*model = (struct model){.document_count = 0};
}

void model_copy(struct model *to, const struct model *from)
{
	model_release(to);
	*to = *from;
	for (size_t i = 0; i < to->document_count; i++) {
		to->documents[i].path = to->documents[i].bytes = BUF_INIT;
		set(&to->documents[i].path, buf_slice(&from->documents[i].path));
		set(&to->documents[i].bytes, buf_slice(&from->documents[i].bytes));
	}
	for (size_t i = 0; i < to->collection_count; i++) {
		to->collections[i] = BUF_INIT;
		set(&to->collections[i], buf_slice(&from->collections[i]));
	}
}

/* ---- what is there ---- */

struct model_document *model_find(struct model *model, struct slice path)
{
	for (size_t i = 0; i < model->document_count; i++) {
		if (slice_equal(buf_slice(&model->documents[i].path), path))
			return &model->documents[i];
	}
	return NULL;
}

bool model_is_collection(const struct model *model, struct slice path)
{
	for (size_t i = 0; i < model->collection_count; i++) {
		if (slice_equal(buf_slice(&model->collections[i]), path))
			return true;
	}
	return false;
}

bool model_is_empty(const struct model *model, struct slice path)
{
	for (size_t i = 0; i < model->document_count; i++) {
		if (is_below(buf_slice(&model->documents[i].path), path))
			return false;
	}
	for (size_t i = 0; i < model->collection_count; i++) {
		if (is_below(buf_slice(&model->collections[i]), path))
			return false;
	}
	return true;
}

bool model_is_directory(const struct model *model, struct slice path)
{
	return !path.len || model_is_collection(model, path) || !model_is_empty(model, path);
}

struct hash128 model_identity(struct model *model, struct slice path)
{
	const struct model_document *document = model_find(model, path);
	struct hash128 identity = {0};
	struct arena arena = ARENA_INIT;
	struct edn value;

	if (!document)
		return identity;
	must(json_read(&arena, buf_slice(&document->bytes), EDN_LOAD_DEPTH, &value, NULL) == 0,
		"a document is JSON");
	identity = edn_identity(&value);
	arena_release(&arena);
	return identity;
}

/* ---- changes ---- */

static void touch(struct model *model, struct slice path)
{
	for (size_t i = 0; i < MODEL_BASES; i++) {
		if (slice_equal(slice_str(model_base_paths[i]), path))
			model->bases[i].touched = true;
	}
}

static bool add_collection(struct model *model, struct slice path)
{
	if (model_is_collection(model, path))
		return true;
	if (model->collection_count == MODEL_COLLECTIONS)
		return false;
	model->collections[model->collection_count] = BUF_INIT;
	set(&model->collections[model->collection_count++], path);
	return true;
}

/* The first member of a collection makes it. */
static bool arrive(struct model *model, const struct schema *schema, struct slice path)
{
	struct path_place place = PATH_PLACE_INIT;
	bool held = true;

	touch(model, path);
	must(path_parse(schema, path, &place, NULL) == 0, "memory");
	if (place.kind == PATH_MEMBER)
		held = add_collection(model, parent_of(path));
	else if (place.kind == PATH_CUT)
		held = false; /* whose it is can't be told by its name */
	path_place_release(&place);
	return held;
}

bool model_put(struct model *model, const struct schema *schema, struct slice path,
	struct slice bytes, const struct memory_stat *st)
{
	struct model_document *document = model_find(model, path);

	if (!document && model->document_count == MODEL_DOCUMENTS)
		return false;
	if (!document) {
		document = &model->documents[model->document_count++];
		*document = (struct model_document){.path = BUF_INIT};
		set(&document->path, path);
	}
	set(&document->bytes, bytes);
	document->ino = st->ino;
	document->mode = st->mode;
	document->mtime = st->mtime;
	return arrive(model, schema, path);
}

void model_remove(struct model *model, struct slice path)
{
	struct model_document *document = model_find(model, path);

	touch(model, path);
	if (!document)
		return;
	document_release(document);
	*document = model->documents[--model->document_count];
	model->documents[model->document_count] = (struct model_document){.path = BUF_INIT};
}

void model_rename(struct model *model, const struct schema *schema, struct slice from,
	struct slice to, unsigned flags)
{
	struct model_document *source;

	if (slice_equal(from, to))
		return;
	if (flags & MEMORY_EXCHANGE) {
		struct model_document *target = model_find(model, to);

		source = model_find(model, from);
		set(&source->path, to);
		set(&target->path, from);
		touch(model, from);
		touch(model, to);
		return;
	}
	model_remove(model, to);
	source = model_find(model, from);
	touch(model, from);
	set(&source->path, to);
	must(arrive(model, schema, to), "room in the model");
}

void model_remove_collection(struct model *model, struct slice path)
{
	for (size_t i = 0; i < model->collection_count; i++) {
		if (!slice_equal(buf_slice(&model->collections[i]), path))
			continue;
		buf_release(&model->collections[i]);
		model->collections[i] = model->collections[--model->collection_count];
		return;
	}
}

static void append_moved(struct buf *out, struct slice path, struct slice from, struct slice to)
{
	buf_reset(out);
	buf_add_slice(out, to);
	buf_add_slice(out, slice_of(path.ptr + from.len, path.len - from.len));
	must(buf_error(out) == 0, "memory");
}

/* Only where the new place is one of a collection does it stay one. */
static void move_collections(struct model *model, const struct schema *schema, struct slice from,
	struct slice to)
{
	for (size_t i = model->collection_count; i-- > 0;) {
		struct slice path = buf_slice(&model->collections[i]);
		struct path_place place = PATH_PLACE_INIT;
		struct buf moved = BUF_INIT;

		if (!slice_equal(path, from) && !is_below(path, from))
			continue;
		append_moved(&moved, path, from, to);
		must(path_parse(schema, buf_slice(&moved), &place, NULL) == 0, "memory");
		if (place.kind == PATH_DIRECTORY && place.collection)
			set(&model->collections[i], buf_slice(&moved));
		else
			model_remove_collection(model, path);
		path_place_release(&place);
		buf_release(&moved);
	}
}

void model_rename_directory(struct model *model, const struct schema *schema, struct slice from,
	struct slice to)
{
	struct buf moved = BUF_INIT;

	if (slice_equal(from, to))
		return;
	move_collections(model, schema, from, to);
	for (size_t i = 0; i < model->document_count; i++) {
		struct buf *path = &model->documents[i].path;

		if (!is_below(buf_slice(path), from))
			continue;
		touch(model, buf_slice(path));
		append_moved(&moved, buf_slice(path), from, to);
		set(path, buf_slice(&moved));
		must(arrive(model, schema, buf_slice(&moved)), "room in the model");
	}
	buf_release(&moved);
}
