/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_UTF8_H
#define OUROFS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"

/*
 * UTF-8 as Unicode defines it (table 3-7): no overlong forms, no surrogates, nothing past U+10FFFF.
 *
 * Values (edn.h) hold one thing more, WTF-8: a lone surrogate as the three bytes that its number
 * gives. It comes from escapes alone, never from bytes that were read; so the checks here refuse it,
 * while encoding and decoding know it.
 */
enum {
	UTF8_INVALID = 0, /* no sequence begins so */
	UTF8_CUT = -1,    /* a good beginning that the end of the text cuts */
	UTF8_MAX_BYTES = 4
};

/* Length of the sequence that s begins with (1 to 4), UTF8_INVALID or, also for an empty s, UTF8_CUT. */
int utf8_sequence(struct slice s);

/* How many bytes at the front of s are well-formed; s.len when all are. */
size_t utf8_valid_len(struct slice s);

static inline bool utf8_is_valid(struct slice s)
{
	return utf8_valid_len(s) == s.len;
}

/* Some editors put one in front of all they write. */
static inline bool utf8_has_byte_order_mark(struct slice s)
{
	return s.len >= 3 && !memcmp(s.ptr, "\xef\xbb\xbf", 3);
}

/* Of a byte within a sequence; a place in a text where it does not hold is between two characters. */
static inline bool utf8_is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

static inline bool utf8_is_surrogate(uint32_t point)
{
	return point >= 0xd800 && point <= 0xdfff;
}

/* The code point that well-formed UTF-8 or WTF-8 begins with; its length goes to *len. */
uint32_t utf8_decode(const char *at, size_t *len);

/* Writes a code point (up to U+10FFFF; surrogates as WTF-8), returns how many bytes. */
size_t utf8_encode(char to[UTF8_MAX_BYTES], uint32_t point);

/* Where offset stands in text: 1-based, columns in code points, lines ended by LF. */
void utf8_position(struct slice text, size_t offset, unsigned *line, unsigned *column);

#endif
