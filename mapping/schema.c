/* SPDX-License-Identifier: MIT */
#include "schema.h"

#include <errno.h>
#include <stdlib.h>

#include "schema_table.h"

static const struct schema_row BUILT_IN[] = {
	{"presence/**", "presence", true, SCHEMA_STRING},
	{"collab-session/**", "session", false, SCHEMA_STRING},
	{"projects/**", "project", true, SCHEMA_STRING},
	{"builder-sessions/**", "builder-session", true, SCHEMA_STRING},
	{"comments/**", "comment", true, SCHEMA_STRING},
	{"versions/**", "version", true, SCHEMA_STRING},
	{"ops/**", "operations", false, SCHEMA_STRING},
	{"offline-queue/**", "operations", false, SCHEMA_STRING},
	{"learning/tag-index", "tag", true, SCHEMA_STRING},
	{"learning/index", "learning-index", true, SCHEMA_KEYWORD},
	{"learning/review-index", "learning-index", true, SCHEMA_KEYWORD},
	{"learning/wal", "wal", false, SCHEMA_STRING},
	{"review/**", "review", false, SCHEMA_STRING},
	{"deleted/**", "deleted", false, SCHEMA_STRING},
	{"embed-token/*", "embed-token", false, SCHEMA_STRING},
	{"webhook/*", "webhook", false, SCHEMA_STRING},
	{"notifications/*", "notifications", false, SCHEMA_STRING},
	{"session-snapshot/**", "session-snapshot", false, SCHEMA_STRING},
	{"optimistic/**", "optimistic", false, SCHEMA_STRING},
};

enum { BUILT_IN_ROWS = sizeof(BUILT_IN) / sizeof(BUILT_IN[0]) };

static size_t count_segments(struct slice text)
{
	size_t count = 1;

	for (size_t i = 0; i < text.len; i++)
		count += text.ptr[i] == '/';
	return count;
}

int schema_pattern_init(struct schema_pattern *pattern, struct arena *arena,
	const struct schema_row *row)
{
	struct slice rest = slice_str(row->pattern);
	size_t count = count_segments(rest);
	struct slice *segments = arena_alloc(arena, count * sizeof(*segments));

	if (!segments)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const char *slash = memchr(rest.ptr, '/', rest.len);
		size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;

		segments[i] = slice_of(rest.ptr, len);
		rest = slice_of(rest.ptr + len + (slash != NULL), rest.len - len - (slash != NULL));
	}
	pattern->row = *row;
	pattern->segments = segments;
	pattern->first = row->pattern[0];
	pattern->deep = slice_equal(segments[count - 1], SLICE_LITERAL("**"));
	pattern->count = count - pattern->deep;
	return 0;
}

void schema_set_patterns(struct schema *schema, struct schema_pattern *patterns, size_t count)
{
	free(schema->patterns);
	schema->patterns = patterns;
	schema->count = count;
	schema->longest = 0;
	for (size_t i = 0; i < count; i++) {
		size_t segments = patterns[i].count + patterns[i].deep;

		if (segments > schema->longest)
			schema->longest = segments;
	}
}

int schema_new(struct schema **schema, struct err *err)
{
	struct schema_pattern *patterns = calloc(BUILT_IN_ROWS, sizeof(*patterns));
	struct schema *made = calloc(1, sizeof(*made));
	int ret = patterns && made ? 0 : -ENOMEM;

	for (size_t i = 0; i < BUILT_IN_ROWS && ret == 0; i++)
		ret = schema_pattern_init(&patterns[i], &made->arena, &BUILT_IN[i]);
	if (ret < 0) {
		free(patterns);
		schema_free(made);
		return err_set(err, ret, "no memory for the table of patterns");
	}
	schema_set_patterns(made, patterns, BUILT_IN_ROWS);
	*schema = made;
	return 0;
}

void schema_free(struct schema *schema)
{
	if (!schema)
		return;
	free(schema->patterns);
	arena_release(&schema->arena);
	free(schema);
}

bool schema_has_empty_segment(struct slice keyword)
{
	const char *at = keyword.ptr;
	const char *end = keyword.len ? keyword.ptr + keyword.len : NULL;

	if (!end || at[0] == '/' || end[-1] == '/')
		return true;
	while ((at = memchr(at, '/', (size_t)(end - at)))) /* never the last byte */
		if (*++at == '/')
			return true;
	return false;
}

/* Length of the segment that the pattern's segment takes from rest, or 0. */
static size_t segment_match(struct slice segment, struct slice rest)
{
	if (segment.len == 1 && segment.ptr[0] == '*') {
		const char *slash = memchr(rest.ptr, '/', rest.len);

		return slash ? (size_t)(slash - rest.ptr) : rest.len;
	}
	if (!slice_starts(rest, segment))
		return 0;
	return rest.len == segment.len || rest.ptr[segment.len] == '/' ? segment.len : 0;
}

static bool pattern_matches(const struct schema_pattern *pattern, struct slice rest)
{
	for (size_t i = 0; i < pattern->count; i++) {
		size_t len = rest.len ? segment_match(pattern->segments[i], rest) : 0;

		if (len == 0)
			return false;
		len += len < rest.len; /* the slash */
		rest = slice_of(rest.ptr + len, rest.len - len);
	}
	return pattern->deep ? rest.len > 0 : rest.len == 0;
}

/* keyword: no empty segment. */
static const struct schema_row *first_match(const struct schema *schema, struct slice keyword)
{
	for (size_t i = 0; i < schema->count; i++) {
		const struct schema_pattern *pattern = &schema->patterns[i];

		if (pattern->first != '*' && pattern->first != keyword.ptr[0])
			continue;
		if (pattern_matches(pattern, keyword))
			return &pattern->row;
	}
	return NULL;
}

const struct schema_row *schema_match(const struct schema *schema, struct slice keyword)
{
	return schema_has_empty_segment(keyword) ? NULL : first_match(schema, keyword);
}

const struct schema_row *schema_collection(const struct schema *schema, struct slice keyword)
{
	const struct schema_row *row = schema_match(schema, keyword);

	return row && row->collection ? row : NULL;
}

/*
 * Past the longest pattern only those in "**" match, and they match every prefix alike: one look there
 * is enough, so the work is bounded, however long the keyword.
 */
size_t schema_collection_prefix(const struct schema *schema, struct slice keyword)
{
	const char *slash = keyword.ptr;

	if (schema_has_empty_segment(keyword))
		return 0;
	for (size_t segments = 0; segments <= schema->longest; segments++) {
		const struct schema_row *row;
		size_t len = (size_t)(slash - keyword.ptr);

		slash = memchr(keyword.ptr + len, '/', keyword.len - len);
		if (!slash)
			break;
		len = (size_t)(slash - keyword.ptr);
		row = first_match(schema, slice_of(keyword.ptr, len));
		if (row && row->collection)
			return len;
		slash++;
	}
	return 0;
}

const char *schema_type(const struct schema *schema, const struct edn *key, const struct edn *value)
{
	static const struct edn LEARNING_ID = {
		.type = EDN_KEYWORD, .count = sizeof("learning/id") - 1, .text = "learning/id"};
	const struct schema_row *row = NULL;

	if (key->type == EDN_KEYWORD)
		row = schema_match(schema, edn_text(key));
	if (row)
		return row->type;
	if (value && value->type == EDN_MAP && edn_map_get(value, &LEARNING_ID))
		return "learning";
	return "cache";
}
