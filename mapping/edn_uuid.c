/* SPDX-License-Identifier: MIT */
#include "edn_token.h"

#include <errno.h>

/* Hexadecimal digits up to the next dash as Long.parseLong takes them: a plus, any script's digits. */
static bool parse_part(const char **at, const char *end, uint64_t *value)
{
	const char *p = *at;
	unsigned count;

	if (p < end && *p == '+')
		p++;
	*value = 0;
	for (count = 0; p < end && *p != '-'; count++) {
		unsigned len = edn_utf8_len(p, end);
		int digit = len && len < 4 ? edn_digit(edn_utf8_point(p), 16) : -1;

		if (digit < 0 || *value > INT64_MAX / 16)
			return false;
		*value = *value << 4 | (unsigned)digit;
		p += len;
	}
	*at = p;
	return count > 0;
}

static size_t utf16_len(struct slice text)
{
	size_t units = 0;
	size_t i;

	for (i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		units += (c & 0xc0) != 0x80;
		units += c >= 0xf0;
	}
	return units;
}

/* UUID.fromString of Java 17: five parts of any length, each cut to its width. */
static bool parse(struct slice text, uint64_t part[5])
{
	const char *at = text.ptr;
	const char *end = at + text.len;
	int i;

	if (utf16_len(text) > 36)
		return false;
	for (i = 0; i < 5; i++) {
		if (!parse_part(&at, end, &part[i]))
			return false;
		if (i < 4 && at++ == end)
			return false;
	}
	return at == end;
}

static char *put_digits(char *to, uint64_t number, int count)
{
	for (int i = count - 1; i >= 0; i--, number >>= 4)
		to[i] = "0123456789abcdef"[number & 15];
	return to + count;
}

int edn_read_uuid(const struct edn_source *src, const char *at, struct arena *arena,
	const struct edn *from, struct edn *value)
{
	static const int WIDTHS[] = {8, 4, 4, 4, 12};
	uint64_t part[5];
	char text[37]; /* and a dash too many */
	char *to = text;

	if (from->type != EDN_STRING)
		return edn_fail(src, at, "#uuid needs a string");
	if (!parse(edn_text(from), part))
		return edn_fail(src, at, "not a uuid: %.*s",
			from->count < 40 ? (int)from->count : 0, from->text);
	for (int i = 0; i < 5; i++) {
		to = put_digits(to, part[i], WIDTHS[i]);
		*to++ = '-';
	}
	*value = (struct edn){.type = EDN_STRING, .count = 36, .text = arena_copy(arena, text, 36)};
	return value->text ? 0 : err_set(src->err, -ENOMEM, "out of memory");
}
