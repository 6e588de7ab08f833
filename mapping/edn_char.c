/* SPDX-License-Identifier: MIT */
#include "edn_token.h"

#include <errno.h>

static const struct {
	const char *name;
	unsigned unit;
} NAMED[] = {{"newline", '\n'}, {"space", ' '}, {"tab", '\t'}, {"backspace", '\b'},
	{"formfeed", '\f'}, {"return", '\r'}};

/* All of [at, end) as digits, or -1. */
static int digits(const char *at, const char *end, unsigned base, unsigned want_max)
{
	unsigned unit = 0;
	unsigned count = 0;

	for (; at < end; count++) {
		unsigned len = edn_utf8_len(at, end);
		int digit = len < 4 ? edn_digit(edn_utf8_point(at), base) : -1;

		if (digit < 0 || count == want_max)
			return -1;
		unit = unit * base + (unsigned)digit;
		at += len;
	}
	return base == 16 && count != want_max ? -1 : (int)unit;
}

/* The unit that a token of more than one character names, or -1. */
static int named_unit(const char *at, const char *end)
{
	int unit = -1;
	size_t i;

	for (i = 0; i < sizeof(NAMED) / sizeof(NAMED[0]); i++)
		if (slice_equal(slice_of(at, (size_t)(end - at)), slice_str(NAMED[i].name)))
			return (int)NAMED[i].unit;
	if (*at == 'u') {
		unit = digits(at + 1, end, 16, 4);
		if (unit >= 0xd800 && unit <= 0xdfff)
			unit = -1;
	} else if (*at == 'o') {
		unit = digits(at + 1, end, 8, 3);
		if (unit > 0377)
			unit = -1;
	}
	return unit;
}

int edn_read_char(const struct edn_source *src, const char **at, struct edn *value)
{
	const char *start = *at + 1;
	unsigned len;
	uint8_t seen;
	int unit;
	int ret;

	if (start == src->end)
		return edn_fail_cut(src, start, "the text ends inside a character literal");
	len = edn_utf8_len(start, src->end); /* the first one is taken blindly: \; \( \, */
	if (!len)
		return edn_fail_utf8(src, start);
	*at = start + len;
	ret = edn_skip_token(src, at, EDN_C_END, &seen);
	if (ret)
		return ret;
	if (*at == start + len && len < 4)
		unit = (int)edn_utf8_point(start);
	else
		unit = (seen & EDN_C_BAD) ? -1 : named_unit(start, *at);
	if (unit < 0)
		return edn_fail_token(src, start - 1, *at, "unsupported character literal");
	*value = (struct edn){.type = EDN_CHAR, .integer = unit};
	return 0;
}
