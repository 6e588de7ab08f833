/* SPDX-License-Identifier: MIT */
#include "edn_reader.h"

/* What is wrong with forms, in words. */

const char *edn_type_name(uint8_t type)
{
	static const char *const NAMES[] = {"nil", "boolean", "integer", "integer", "double",
		"decimal", "ratio", "character", "string", "symbol", "keyword", "list", "vector",
		"map", "set", "tagged value"};

	return NAMES[type];
}

const char *edn_type_article(uint8_t type)
{
	if (type == EDN_NIL)
		return "";
	return type == EDN_INT || type == EDN_BIGINT ? "an " : "a ";
}

int edn_fail_closing(const struct edn_source *src, const char *at, const char *open, uint8_t type)
{
	struct slice text = slice_of(src->start, (size_t)(src->end - src->start));
	const char *name = edn_type_name(type);
	char closing = type == EDN_LIST ? ')' : type == EDN_VECTOR ? ']' : '}';
	unsigned line;
	unsigned column;

	utf8_position(text, (size_t)(open - src->start), &line, &column);
	if (at == src->end)
		return edn_fail_cut(src, at, "the text ends inside the %s that begins at %u:%u",
			name, line, column);
	return edn_fail(src, at, "unmatched %c: the %s that begins at %u:%u needs %c", *at, name,
		line, column, closing);
}

/* The word, number or string at `at`, or nothing where something longer begins. */
static struct slice token_at(const struct edn_source *src, const char *at)
{
	struct edn_source silent = {src->start, src->end, NULL};
	const char *end = at;
	bool escaped;
	uint8_t seen;

	if (*at == '"')
		(void)edn_skip_string(&silent, &end, &escaped);
	else if (*at != '#')
		(void)edn_skip_token(&silent, &end, EDN_C_END, &seen);
	return slice_of(at, (size_t)(end - at));
}

int edn_fail_duplicate(const struct edn_source *src, const char *at, uint8_t type)
{
	struct slice token = token_at(src, at);
	const char *what = type == EDN_MAP ? "a key that the map has already"
					   : "an element that the set has already";

	if (token.len == 0)
		return edn_fail(src, at, "%s", what);
	return edn_fail(src, at, "%s: %.*s", what, token.len < 100 ? (int)token.len : 100,
		token.ptr);
}

int edn_fail_meta(const struct edn_source *src, const char *at, uint8_t type)
{
	return edn_fail(src, at, "metadata must be a symbol, keyword, string or map, not %s%s",
		edn_type_article(type), edn_type_name(type));
}

int edn_fail_takes_no_meta(const struct edn_source *src, const char *at, uint8_t type)
{
	return edn_fail(src, at, "%s%s can't have metadata", edn_type_article(type),
		edn_type_name(type));
}
