/* SPDX-License-Identifier: MIT */
#include "edn_token.h"

#include <errno.h>

/*
 * Words: symbols, keywords, nil, true, false. The rule is EdnReader's symbolPat and what matchSymbol
 * adds to it: [:]?([\D&&[^/]].*\/)?(/|[\D&&[^/]][^/]*), where the expression may also take the colon as
 * the first character of the namespace or the name (so :1 and :1/a are keywords).
 */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* NEL, the one line terminator that is no white space: the regex's dot doesn't match it. */
static bool holds_nel(const char *at, const char *end)
{
	for (; at + 1 < end; at++)
		if (at[0] == '\xc2' && at[1] == '\x85')
			return true;
	return false;
}

static bool holds_double_colon(struct slice token)
{
	const char *at = token.ptr;
	const char *end = at + token.len;

	while ((at = memchr(at, ':', (size_t)(end - at)))) {
		if (at + 1 < end && at[1] == ':')
			return true;
		at++;
	}
	return false;
}

/*
 * namespace/name, for a text that holds a slash and is not "/" alone. colon: the expression takes the
 * keyword's colon as the first character of the namespace.
 */
static bool matches_qualified(struct slice text, bool colon, bool high)
{
	const char *end = text.ptr + text.len;
	const char *slash = memrchr(text.ptr, '/', text.len);
	const char *dot = text.ptr;

	if (slash + 1 == end) { /* the name is "/": the namespace ends at the slash before */
		if (slash == text.ptr || slash[-1] != '/')
			return false;
		slash--;
	} else if (is_digit(slash[1])) {
		return false;
	}
	if (slash == text.ptr || slash[-1] == ':')
		return false;
	if (!colon) {
		if (text.ptr[0] == '/' || is_digit(text.ptr[0]))
			return false;
		dot += edn_utf8_len(text.ptr, end);
	}
	return !(high && holds_nel(dot, slash));
}

bool edn_word_readable(enum edn_type type, struct slice text, uint8_t seen)
{
	bool keyword = type == EDN_KEYWORD;

	if (text.len == 0 || (seen & EDN_C_BAD))
		return false;
	if (seen & EDN_C_COLON) {
		if (text.ptr[text.len - 1] == ':' || holds_double_colon(text) ||
			(keyword && text.ptr[0] == ':'))
			return false;
	}
	if (!(seen & EDN_C_SLASH))
		return keyword || !is_digit(text.ptr[0]);
	if (text.len == 1)
		return true;
	return matches_qualified(text, false, seen & EDN_C_HIGH) ||
	       (keyword && matches_qualified(text, true, seen & EDN_C_HIGH));
}

static bool is_constant(struct slice token, struct edn *value)
{
	if (slice_equal(token, SLICE_LITERAL("nil")))
		*value = (struct edn){.type = EDN_NIL};
	else if (slice_equal(token, SLICE_LITERAL("true")))
		*value = (struct edn){.type = EDN_BOOL, .integer = 1};
	else if (slice_equal(token, SLICE_LITERAL("false")))
		*value = (struct edn){.type = EDN_BOOL, .integer = 0};
	else
		return false;
	return true;
}

int edn_read_word(const struct edn_source *src, const char **at, struct edn *value)
{
	bool keyword = **at == ':';
	const char *text = *at + keyword;
	struct slice token;
	uint8_t seen;
	int ret;

	*at = text;
	ret = edn_skip_token(src, at, EDN_C_END, &seen);
	if (ret)
		return ret;
	token = slice_of(text, (size_t)(*at - text));
	if (!keyword && is_constant(token, value))
		return 0;
	*value = (struct edn){.type = keyword ? EDN_KEYWORD : EDN_SYMBOL,
		.count = (uint32_t)token.len,
		.text = token.ptr};
	value->lenient = !edn_word_readable(value->type, token, seen);
	return 0;
}

/* The classes of a whole token, or false when it isn't one: something ends it early. */
static bool whole_token(struct slice text, uint8_t *seen)
{
	struct edn_source src = {text.ptr, text.ptr + text.len, NULL};
	const char *at = text.ptr;

	*seen = 0;
	if (text.len == 0)
		return true;
	return text.len < UINT32_MAX && edn_skip_token(&src, &at, EDN_C_END, seen) == 0 &&
	       at == src.end;
}

bool edn_is_lenient_keyword(struct slice text)
{
	uint8_t seen;

	return whole_token(text, &seen);
}

bool edn_is_keyword(struct slice text)
{
	uint8_t seen;

	return whole_token(text, &seen) && edn_word_readable(EDN_KEYWORD, text, seen);
}

bool edn_is_symbol(struct slice text)
{
	struct edn unused;
	uint8_t seen;

	if (text.len == 0 || text.ptr[0] == ':' || text.ptr[0] == '#' || !whole_token(text, &seen))
		return false;
	if (edn_starts_number(text.ptr, text.ptr + text.len) || is_constant(text, &unused))
		return false;
	return edn_word_readable(EDN_SYMBOL, text, seen);
}
