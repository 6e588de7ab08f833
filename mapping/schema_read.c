/* SPDX-License-Identifier: MIT */
#include "schema_table.h"

#include <errno.h>
#include <stdlib.h>

/* One row of the text being read; a reason names the pattern. */
struct reader {
	struct arena *arena;
	struct slice pattern;
	struct err *err;
};

/* word (may be NULL) is what is wrong. All is quoted: a reason is one line, whatever the text holds. */
static int refuse(const struct reader *reader, const char *what, const struct edn *word)
{
	const struct edn pattern = {.type = EDN_STRING,
		.count = (uint32_t)reader->pattern.len,
		.text = reader->pattern.ptr};
	struct buf quoted = BUF_INIT;
	size_t split;

	edn_print(&quoted, &pattern);
	split = quoted.len;
	if (word)
		edn_print(&quoted, word);
	err_set(reader->err, -EBADMSG, "mapping: row %.*s: %s%s%.*s",
		(int)(split < 60 ? split : 60), split ? quoted.ptr : "", what, word ? ": " : "",
		(int)(quoted.len - split < 60 ? quoted.len - split : 60),
		quoted.len ? quoted.ptr + split : "");
	buf_release(&quoted);
	return -EBADMSG;
}

static int no_memory(struct err *err)
{
	err_set(err, -ENOMEM, "mapping: no memory");
	return -ENOMEM;
}

static bool is_word(const struct edn *v)
{
	return v->type == EDN_STRING || v->type == EDN_KEYWORD || v->type == EDN_SYMBOL;
}

static bool word_is(const struct edn *v, const char *word)
{
	return is_word(v) && slice_equal(edn_text(v), slice_str(word));
}

static const char *keep_string(struct arena *arena, struct slice text)
{
	char *kept = arena_alloc(arena, text.len + 1);

	if (!kept)
		return NULL;
	memcpy(kept, text.ptr, text.len);
	kept[text.len] = '\0';
	return kept;
}

static int check_segment(const struct reader *reader, struct slice segment, bool last)
{
	if (segment.len == 0)
		return refuse(reader, "a pattern has no empty segment", NULL);
	if (slice_equal(segment, SLICE_LITERAL("*")))
		return 0;
	if (slice_equal(segment, SLICE_LITERAL("**")))
		return last ? 0 : refuse(reader, "** can only be the last segment", NULL);
	if (memchr(segment.ptr, '*', segment.len))
		return refuse(reader, "* stands for a whole segment, not for a part of one", NULL);
	return 0;
}

static int check_pattern(const struct reader *reader)
{
	struct slice rest = reader->pattern;

	if (rest.len && rest.ptr[0] == ':')
		return refuse(reader, "a pattern is written without its colon", NULL);
	for (;;) {
		const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
		size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;
		int ret = check_segment(reader, slice_of(rest.ptr, len), !slash);

		if (ret < 0)
			return ret;
		if (!slash)
			break;
		rest = slice_of(slash + 1, rest.len - len - 1);
	}
	if (memchr(reader->pattern.ptr, '\0', reader->pattern.len) ||
		!edn_is_lenient_keyword(reader->pattern))
		return refuse(reader, "no keyword can match this pattern", NULL);
	return 0;
}

static bool is_type_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

static int read_type(const struct reader *reader, const struct edn *v, struct schema_row *row)
{
	struct slice text;

	if (!is_word(v))
		return refuse(reader, ":type is not a word", v);
	text = edn_text(v);
	if (text.len == 0 || text.len > SCHEMA_TYPE_MAX)
		return refuse(reader, ":type is empty or too long", v);
	for (size_t i = 0; i < text.len; i++)
		if (!is_type_char(text.ptr[i]))
			return refuse(reader, ":type holds more than letters, digits, - _ .", v);
	row->type = keep_string(reader->arena, text);
	return row->type ? 0 : no_memory(reader->err);
}

static int read_shape(const struct reader *reader, const struct edn *v, struct schema_row *row)
{
	row->collection = word_is(v, "collection");
	if (row->collection || word_is(v, "document"))
		return 0;
	return refuse(reader, ":shape is neither :collection nor :document", v);
}

static int read_member(const struct reader *reader, const struct edn *v, struct schema_row *row)
{
	row->member = word_is(v, "keyword") ? SCHEMA_KEYWORD : SCHEMA_STRING;
	if (row->member == SCHEMA_KEYWORD || word_is(v, "string"))
		return 0;
	return refuse(reader, ":member is neither :string nor :keyword", v);
}

static const struct {
	const char *name;
	int (*read)(const struct reader *reader, const struct edn *v, struct schema_row *row);
} OPTIONS[] = {{"type", read_type}, {"shape", read_shape}, {"member", read_member}};

enum { OPTION_COUNT = sizeof(OPTIONS) / sizeof(OPTIONS[0]) };

static int read_option(const struct reader *reader, const struct edn *key, const struct edn *v,
	struct schema_row *row, bool seen[OPTION_COUNT])
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (word_is(key, OPTIONS[i].name)) {
			if (seen[i])
				return refuse(reader, "given twice", key);
			seen[i] = true;
			return OPTIONS[i].read(reader, v, row);
		}
	return refuse(reader, "a row has :type, :shape and :member, no other key", key);
}

static int read_row(const struct reader *reader, const struct edn *v, struct schema_row *row)
{
	bool seen[OPTION_COUNT] = {false};
	int ret;

	if (v->type != EDN_MAP)
		return refuse(reader, "a row is a map", NULL);
	for (size_t i = 0; i < v->count; i++) {
		ret = read_option(reader, &v->items[2 * i], &v->items[2 * i + 1], row, seen);
		if (ret < 0)
			return ret;
	}
	if (!seen[0])
		return refuse(reader, ":type is missing", NULL);
	if (!seen[1])
		return refuse(reader, ":shape is missing", NULL);
	if (seen[2] && !row->collection)
		return refuse(reader, ":member is for collections", NULL);
	return 0;
}

static int add_pattern(struct arena *arena, const struct edn *key, const struct edn *value,
	struct schema_pattern *to, struct err *err)
{
	struct schema_row row = {0};
	struct reader reader = {arena, {0}, err};
	int ret;

	if (key->type != EDN_STRING && key->type != EDN_KEYWORD) {
		err_set(err, -EBADMSG, "mapping: a pattern is a string or a keyword");
		return -EBADMSG;
	}
	reader.pattern = edn_text(key);
	ret = check_pattern(&reader);
	if (ret == 0)
		ret = read_row(&reader, value, &row);
	if (ret < 0)
		return ret;
	row.pattern = keep_string(arena, reader.pattern);
	if (!row.pattern || schema_pattern_init(to, arena, &row) < 0)
		return no_memory(err);
	return 0;
}

/* A string and a keyword of the same text are different keys of the map, but the same pattern. */
static int check_twice(const struct schema_pattern *patterns, size_t i, struct err *err)
{
	struct reader reader = {NULL, slice_str(patterns[i].row.pattern), err};

	for (size_t j = 0; j < i; j++)
		if (slice_equal(reader.pattern, slice_str(patterns[j].row.pattern)))
			return refuse(&reader, "given twice", NULL);
	return 0;
}

static int add_rows(struct schema *schema, const struct edn *map, struct err *err)
{
	struct schema_pattern *patterns;
	int ret = 0;

	if (map->type != EDN_MAP)
		return err_set(err, -EBADMSG, "mapping: the text is not a map of patterns");
	if (map->count > SCHEMA_ROWS_MAX || schema->count + map->count > SCHEMA_ROWS_MAX)
		return err_set(err, -EBADMSG, "mapping: more than %d rows", SCHEMA_ROWS_MAX);
	patterns = calloc(schema->count + map->count, sizeof(*patterns));
	if (!patterns)
		return no_memory(err);
	for (size_t i = 0; i < map->count && ret == 0; i++) {
		ret = add_pattern(&schema->arena, &map->items[2 * i], &map->items[2 * i + 1],
			&patterns[i], err);
		if (ret == 0)
			ret = check_twice(patterns, i, err);
	}
	if (ret < 0) {
		free(patterns);
		return ret;
	}
	memcpy(patterns + map->count, schema->patterns, schema->count * sizeof(*patterns));
	schema_set_patterns(schema, patterns, schema->count + map->count);
	return 0;
}

/* The file is the map and nothing else: a second form would be a mistake that goes unseen. */
static int check_rest(struct slice text, size_t from, struct err *err)
{
	bool comment = false;

	for (size_t i = from; i < text.len; i++) {
		if (comment)
			comment = text.ptr[i] != '\n';
		else if (text.ptr[i] == ';')
			comment = true;
		else if (!strchr(" \t\n\v\f\r,", text.ptr[i]) || text.ptr[i] == '\0')
			return err_set(err, -EBADMSG, "mapping: there is text behind the map");
	}
	return 0;
}

int schema_add(struct schema *schema, struct slice edn, struct err *err)
{
	struct arena arena = ARENA_INIT;
	struct edn map;
	size_t end;
	int ret = edn_read(&arena, edn, EDN_SAVE_DEPTH, &map, &end, err);

	if (ret == 0)
		ret = check_rest(edn, end, err);
	if (ret == 0)
		ret = add_rows(schema, &map, err);
	arena_release(&arena);
	return ret;
}
