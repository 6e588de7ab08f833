/* SPDX-License-Identifier: MIT */
#include "path.h"

#include <errno.h>

#include "path_name.h"

/* Appends the keyword's segments, each a directory, with a slash between them. */
static void add_directories(struct buf *path, struct slice keyword)
{
	while (keyword.len) {
		const char *slash = memchr(keyword.ptr, '/', keyword.len);
		size_t len = slash ? (size_t)(slash - keyword.ptr) : keyword.len;

		path_name_add_directory(path, slice_of(keyword.ptr, len));
		if (!slash)
			break;
		buf_add_char(path, '/');
		keyword = slice_of(slash + 1, keyword.len - len - 1);
	}
}

/* How much of the keyword's front is directories: the last name, its slashes escaped, follows. */
static size_t directories_len(const struct schema *schema, struct slice keyword)
{
	const char *slash;
	size_t until;

	if (keyword.len == 0 || schema_has_empty_segment(keyword))
		return 0;
	until = schema_collection_prefix(schema, keyword);
	slash = memrchr(keyword.ptr, '/', until ? until : keyword.len);
	return slash ? (size_t)(slash - keyword.ptr) : 0;
}

static void add_marked_file(struct buf *path, enum path_plain plain, const struct edn *key)
{
	size_t start = path->len;

	path_mark_add(path, plain, key);
	path_name_finish_file(path, start);
}

int path_of_key(const struct schema *schema, const struct edn *key, bool directory,
	struct buf *path)
{
	struct slice keyword = key->type == EDN_KEYWORD ? edn_text(key) : (struct slice){0};
	size_t front;

	if (directory && schema_collection(schema, keyword)) {
		add_directories(path, keyword);
		return buf_error(path);
	}
	front = directories_len(schema, keyword);
	if (front == 0) {
		add_marked_file(path, PATH_PLAIN_KEYWORD, key);
		return buf_error(path);
	}
	add_directories(path, slice_of(keyword.ptr, front));
	buf_add_char(path, '/');
	path_name_add_file(path, slice_of(keyword.ptr + front + 1, keyword.len - front - 1));
	return buf_error(path);
}

int path_of_member(enum schema_member plain, const struct edn *member, struct buf *name)
{
	add_marked_file(name, plain == SCHEMA_KEYWORD ? PATH_PLAIN_KEYWORD : PATH_PLAIN_STRING,
		member);
	return buf_error(name);
}

/* The value of canonical EDN; it points into text where that needs no reader. */
static int read_canonical(struct arena *arena, struct slice text, struct edn *value)
{
	size_t end;
	int ret;

	if (text.len > 1 && text.len <= UINT32_MAX && text.ptr[0] == ':') {
		*value = (struct edn){.type = EDN_KEYWORD,
			.count = (uint32_t)(text.len - 1),
			.text = text.ptr + 1};
		return 0;
	}
	if (text.len > 1 && text.len <= UINT32_MAX && text.ptr[0] == '"' &&
		!memchr(text.ptr, '\\', text.len)) {
		*value = (struct edn){.type = EDN_STRING,
			.count = (uint32_t)(text.len - 2),
			.text = text.ptr + 1};
		return 0;
	}
	ret = edn_read(arena, text, EDN_LOAD_DEPTH, value, &end, NULL);
	if (ret == 0 && end != text.len)
		ret = -EINVAL;
	return ret == 0 || ret == -ENOMEM ? ret : -EINVAL;
}

/* Of what is not read: the mark that it would have, too. */
static int add_unread(struct buf *path, struct slice key)
{
	size_t start = path->len;

	buf_add_char(path, '#');
	buf_add_slice(path, key);
	path_name_finish_file(path, start);
	return buf_error(path);
}

int path_of_key_text(const struct schema *schema, struct slice key, bool directory,
	struct buf *path)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret;

	if (edn_key_is_text(key))
		return add_unread(path, key);
	ret = read_canonical(&arena, key, &value);
	if (ret == 0)
		ret = path_of_key(schema, &value, directory, path);
	arena_release(&arena);
	return ret;
}

int path_of_member_text(enum schema_member plain, struct slice member, struct buf *name)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret;

	if (edn_key_is_text(member))
		return add_unread(name, member);
	ret = read_canonical(&arena, member, &value);
	if (ret == 0)
		ret = path_of_member(plain, &value, name);
	arena_release(&arena);
	return ret;
}

bool path_is_scratch_name(struct slice name)
{
	return name.len == 0 || name.ptr[0] == '.' || !path_is_document_name(name);
}

void path_place_release(struct path_place *place)
{
	if (!place)
		return;
	buf_release(&place->key);
	buf_release(&place->member);
	*place = PATH_PLACE_INIT;
}
