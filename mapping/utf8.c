/* SPDX-License-Identifier: MIT */
#include "utf8.h"

/* What the first byte promises: the length, and the bounds of the second byte. */
struct lead {
	int len;
	unsigned char low;
	unsigned char high;
};

static struct lead lead_of(unsigned char byte)
{
	if (byte < 0x80)
		return (struct lead){1, 0, 0};
	if (byte < 0xc2)
		return (struct lead){UTF8_INVALID, 0, 0};
	if (byte < 0xe0)
		return (struct lead){2, 0x80, 0xbf};
	if (byte < 0xf0)
		return (struct lead){3, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf};
	if (byte < 0xf5)
		return (struct lead){4, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf};
	return (struct lead){UTF8_INVALID, 0, 0};
}

int utf8_sequence(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	struct lead lead;

	if (s.len == 0)
		return UTF8_CUT;
	lead = lead_of(p[0]);
	if (lead.len <= 1)
		return lead.len;
	if (s.len < 2)
		return UTF8_CUT;
	if (p[1] < lead.low || p[1] > lead.high)
		return UTF8_INVALID;
	for (int i = 2; i < lead.len; i++) {
		if ((size_t)i == s.len)
			return UTF8_CUT;
		if (!utf8_is_continuation(p[i]))
			return UTF8_INVALID;
	}
	return lead.len;
}

size_t utf8_valid_len(struct slice s)
{
	size_t at = 0;

	while (at < s.len) {
		int len;

		if ((unsigned char)s.ptr[at] < 0x80) {
			at++;
			continue;
		}
		len = utf8_sequence(slice_of(s.ptr + at, s.len - at));
		if (len <= 0)
			break;
		at += (size_t)len;
	}
	return at;
}

uint32_t utf8_decode(const char *at, size_t *len)
{
	const unsigned char *p = (const unsigned char *)at;

	if (p[0] < 0x80) {
		*len = 1;
		return p[0];
	}
	if (p[0] < 0xe0) {
		*len = 2;
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	}
	if (p[0] < 0xf0) {
		*len = 3;
		return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	}
	*len = 4;
	return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

size_t utf8_encode(char to[UTF8_MAX_BYTES], uint32_t point)
{
	if (point < 0x80) {
		to[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		to[0] = (char)(0xc0 | point >> 6);
		to[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		to[0] = (char)(0xe0 | point >> 12);
		to[1] = (char)(0x80 | (point >> 6 & 0x3f));
		to[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | point >> 18);
	to[1] = (char)(0x80 | (point >> 12 & 0x3f));
	to[2] = (char)(0x80 | (point >> 6 & 0x3f));
	to[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

void utf8_position(struct slice text, size_t offset, unsigned *line, unsigned *column)
{
	size_t start = 0;

	*line = 1;
	*column = 1;
	for (size_t i = 0; i < offset && i < text.len; i++) {
		if (text.ptr[i] != '\n')
			continue;
		++*line;
		start = i + 1;
	}
	for (size_t i = start; i < offset && i < text.len; i++)
		*column += !utf8_is_continuation(text.ptr[i]);
}
