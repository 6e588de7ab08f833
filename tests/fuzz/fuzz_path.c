/* SPDX-License-Identifier: MIT */
/*
 * Any path: what is accepted prints back as it was. Any EDN: its path reads back as the same key, and
 * every name of it is one that a directory can hold. Any mapping: taken or refused, never half.
 */
#include <stdint.h>
#include <stdlib.h>

#include "path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool condition)
{
	if (!condition)
		abort();
}

static void print_member(const struct schema *schema, const struct path_place *place,
	struct buf *path)
{
	struct slice key = buf_slice(&place->key);
	const struct schema_row *row =
		schema_collection(schema, slice_of(key.ptr + 1, key.len - 1));

	demand(row != NULL);
	demand(path_of_key_text(schema, key, true, path) == 0);
	buf_add_char(path, '/');
	demand(path_of_member_text(row->member, buf_slice(&place->member), path) == 0);
}

static void try_path(const struct schema *schema, struct slice path)
{
	struct path_place place = PATH_PLACE_INIT;
	struct buf printed = BUF_INIT;

	demand(path_parse(schema, path, &place, NULL) == 0);
	if (place.kind == PATH_DOCUMENT)
		demand(path_of_key_text(schema, buf_slice(&place.key), false, &printed) == 0);
	else if (place.kind == PATH_MEMBER)
		print_member(schema, &place, &printed);
	else if (place.kind == PATH_DIRECTORY && place.collection)
		demand(path_of_key_text(schema, buf_slice(&place.key), true, &printed) == 0);
	else
		buf_add_slice(&printed, path);
	demand(slice_equal(buf_slice(&printed), path));
	buf_release(&printed);
	path_place_release(&place);
}

static void check_names(struct slice path)
{
	size_t start = 0;

	demand(path.len > 0);
	for (size_t i = 0; i <= path.len; i++) {
		if (i < path.len) {
			demand(path.ptr[i] != '\0');
			if (path.ptr[i] != '/')
				continue;
		}
		demand(i > start && i - start <= PATH_NAME_MAX && path.ptr[start] != '.');
		start = i + 1;
	}
}

/* A key read from its path again, unless some name was cut. */
static void check_place(const struct schema *schema, struct slice path, struct slice key,
	struct slice member, bool cut)
{
	struct path_place place = PATH_PLACE_INIT;

	demand(path_parse(schema, path, &place, NULL) == 0);
	if (cut) {
		demand(place.kind == PATH_CUT);
	} else {
		demand(place.kind == PATH_DOCUMENT || place.kind == PATH_MEMBER ||
			(place.kind == PATH_DIRECTORY && place.collection));
		demand(slice_equal(buf_slice(&place.key), key));
		demand(slice_equal(buf_slice(&place.member), member));
	}
	path_place_release(&place);
}

static bool has_cut(struct slice path)
{
	return memmem(path.ptr, path.len, "%~", 2) != NULL;
}

static void try_member(const struct schema *schema, const struct edn *key, struct slice canonical,
	const char *directory, enum schema_member plain)
{
	struct buf path = BUF_INIT;
	struct buf collection = BUF_INIT;

	buf_add_format(&path, "%s/", directory);
	buf_add_format(&collection, ":%s", directory);
	demand(path_of_member(plain, key, &path) == 0);
	check_names(buf_slice(&path));
	check_place(schema, buf_slice(&path), buf_slice(&collection), canonical,
		has_cut(buf_slice(&path)));
	buf_release(&path);
	buf_release(&collection);
}

static void try_key(const struct schema *schema, struct slice text)
{
	struct arena arena = ARENA_INIT;
	struct buf canonical = BUF_INIT;
	struct buf path = BUF_INIT;
	struct edn key;
	size_t end;

	if (edn_read(&arena, text, EDN_LOAD_DEPTH, &key, &end, NULL) == 0) {
		edn_print_canonical(&canonical, &key);
		for (int directory = 0; directory < 2; directory++) {
			buf_reset(&path);
			demand(path_of_key(schema, &key, directory, &path) == 0);
			check_names(buf_slice(&path));
			check_place(schema, buf_slice(&path), buf_slice(&canonical),
				(struct slice){0}, has_cut(buf_slice(&path)));
		}
		try_member(schema, &key, buf_slice(&canonical), "presence/s1", SCHEMA_STRING);
		try_member(schema, &key, buf_slice(&canonical), "learning/index", SCHEMA_KEYWORD);
	}
	buf_release(&path);
	buf_release(&canonical);
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data + (size > 0), size - (size > 0));
	struct schema *schema;
	int which = size ? data[0] % 4 : 0;

	demand(schema_new(&schema, NULL) == 0);
	if (which == 0)
		try_path(schema, text);
	else if (which == 1)
		try_key(schema, text);
	else if (schema_add(schema, text, NULL) == 0)
		try_path(schema, text);
	schema_free(schema);
	return 0;
}
