/* SPDX-License-Identifier: MIT */
#include "edn_token.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* clang-format off */
enum {
	S = EDN_C_SPACE | EDN_C_END, E = EDN_C_END, H = EDN_C_HASH, B = EDN_C_BAD,
	L = EDN_C_SLASH, C = EDN_C_COLON, D = EDN_C_DIGIT, X = EDN_C_HIGH,
};

const uint8_t edn_class[256] = {
	/* 00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, S, S, S, S, S, 0, 0,
	/* 10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, S, S, S, S,
	/*    */ S, 0, E, H, 0, 0, 0, 0, E, E, 0, 0, S, 0, 0, L,
	/* 0  */ D, D, D, D, D, D, D, D, D, D, C, E, 0, 0, 0, 0,
	/* @  */ B, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* P  */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, E, E, E, E, 0,
	/* `  */ B, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	/* p  */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, E, 0, E, B, 0,
	/* 80 */ X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
};
/* clang-format on */

/* Errors are one line: what controls a token holds is not shown, nor half a character at the end. */
static void make_showable(char *text)
{
	size_t len = strlen(text);
	size_t i;

	text[utf8_valid_len(slice_of(text, len))] = '\0';
	for (i = 0; text[i]; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
}

enum { REASON_BYTES = sizeof(((struct err *)NULL)->text) };

static int fail(const struct edn_source *src, const char *at, char *reason)
{
	struct slice text = slice_of(src->start, (size_t)(src->end - src->start));
	unsigned line;
	unsigned column;

	make_showable(reason);
	utf8_position(text, (size_t)(at - src->start), &line, &column);
	return err_set_at(src->err, -EBADMSG, line, column, "%s", reason);
}

int edn_fail(const struct edn_source *src, const char *at, const char *format, ...)
{
	char reason[REASON_BYTES];
	va_list args;

	if (!src->err)
		return -EBADMSG;
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	return fail(src, at, reason);
}

int edn_fail_cut(const struct edn_source *src, const char *at, const char *format, ...)
{
	char reason[REASON_BYTES];
	va_list args;

	if (!src->err)
		return -EBADMSG;
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	fail(src, at, reason);
	src->err->truncated = true;
	return -EBADMSG;
}

/* How much of a token an error message shows; never half a character. */
static int shown_len(const char *at, const char *end)
{
	const char *p = at;

	while (p < end && p - at < 40) {
		unsigned len = edn_utf8_len(p, end);

		if (!len)
			break;
		p += len;
	}
	return (int)(p - at);
}

int edn_fail_token(const struct edn_source *src, const char *at, const char *end, const char *what)
{
	int shown = shown_len(at, end);
	const char *more = shown < end - at ? "..." : "";

	if (end == src->end)
		return edn_fail_cut(src, at, "%s: %.*s%s", what, shown, at, more);
	return edn_fail(src, at, "%s: %.*s%s", what, shown, at, more);
}

int edn_fail_utf8(const struct edn_source *src, const char *at)
{
	if (utf8_sequence(slice_of(at, (size_t)(src->end - at))) == UTF8_CUT)
		return edn_fail_cut(src, at, "the text ends inside a character");
	return edn_fail(src, at, "malformed UTF-8 (byte 0x%02x)", (unsigned char)*at);
}

/* Past a character that is not ASCII. */
static int skip_high(const struct edn_source *src, const char **at, bool *space)
{
	unsigned len = edn_utf8_len(*at, src->end);

	if (!len)
		return edn_fail_utf8(src, *at);
	*space = edn_is_space(edn_utf8_point(*at));
	*at += len;
	return 0;
}

static int skip_comment(const struct edn_source *src, const char **at)
{
	const char *p = *at;

	while (p < src->end && *p != '\n' && *p != '\r') {
		unsigned len = (unsigned char)*p < 0x80 ? 1 : edn_utf8_len(p, src->end);

		if (!len)
			return edn_fail_utf8(src, p);
		p += len;
	}
	*at = p;
	return 0;
}

int edn_skip_blank(const struct edn_source *src, const char **at)
{
	const char *p = *at;
	int ret = 0;

	while (p < src->end) {
		if (edn_class_of(p) & EDN_C_SPACE) {
			p++;
		} else if (*p == ';') {
			ret = skip_comment(src, &p);
			if (ret)
				return ret;
		} else if (edn_class_of(p) & EDN_C_HIGH) {
			const char *next = p;
			bool space = false;

			ret = skip_high(src, &next, &space);
			if (ret)
				return ret;
			if (!space)
				break;
			p = next;
		} else {
			break;
		}
	}
	*at = p;
	return 0;
}

int edn_skip_any_token(const struct edn_source *src, const char **at, uint8_t stop, uint8_t *seen)
{
	const char *p = *at;
	uint8_t all = *seen;

	while (p < src->end) {
		uint8_t class = edn_class_of(p);

		if (class & stop)
			break;
		if (class & EDN_C_HIGH) {
			const char *next = p;
			bool space = false;
			int ret = skip_high(src, &next, &space);

			if (ret)
				return ret;
			if (space)
				break;
			p = next;
		} else {
			p++;
		}
		all |= class;
	}
	*at = p;
	*seen = all;
	return 0;
}

bool edn_starts_number(const char *at, const char *end)
{
	const unsigned char *p = (const unsigned char *)at;
	unsigned len;

	if ((*p == '+' || *p == '-') && at + 1 < end)
		p++;
	if (*p < 0x80)
		return *p >= '0' && *p <= '9';
	len = edn_utf8_len((const char *)p, end);
	return len && edn_digit(edn_utf8_point((const char *)p), 10) >= 0;
}
