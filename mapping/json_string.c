/* SPDX-License-Identifier: MIT */
#include "json_internal.h"

#include <errno.h>
#include <string.h>

static const uint64_t ONES = 0x0101010101010101u;
static const uint64_t TOPS = 0x8080808080808080u;
static const char HEX[] = "0123456789abcdef";

static uint64_t zero_bytes(uint64_t word)
{
	return (word - ONES) & ~word & TOPS;
}

/* Not zero when one of eight bytes is a quote, a backslash, a control or no ASCII. */
static uint64_t special_bytes(uint64_t word)
{
	return (word & TOPS) | ((word - ONES * 0x20) & ~word & TOPS) |
	       zero_bytes(word ^ ONES * '"') | zero_bytes(word ^ ONES * '\\');
}

static bool is_special(unsigned char byte)
{
	return byte < 0x20 || byte == '"' || byte == '\\' || byte >= 0x80;
}

/* Skips bytes that stand for themselves in a JSON string. */
static size_t skip_plain(struct slice text, size_t at)
{
	uint64_t word;

	for (; text.len - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, text.ptr + at, sizeof(word));
		if (special_bytes(word))
			break;
	}
	while (at < text.len && !is_special((unsigned char)text.ptr[at]))
		at++;
	return at;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Moves over the escape whose backslash is at *at. */
static enum json_scan scan_escape(struct slice text, size_t *at)
{
	size_t i = *at + 1;

	if (i == text.len) {
		*at = i;
		return JSON_CUT;
	}
	if (text.ptr[i] != 'u') {
		if (!text.ptr[i] || !strchr("\"\\/bfnrt", text.ptr[i]))
			return JSON_BAD;
		*at = i + 1;
		return JSON_WHOLE;
	}
	for (int digits = 0; digits < 4; digits++) {
		if (++i == text.len) {
			*at = i;
			return JSON_CUT;
		}
		if (hex_digit(text.ptr[i]) < 0)
			return JSON_BAD;
	}
	*at = i + 1;
	return JSON_WHOLE;
}

/* Moves over the UTF-8 sequence or the escape at *at. */
static enum json_scan scan_special(struct slice text, size_t *at, struct json_string *string)
{
	unsigned char byte = (unsigned char)text.ptr[*at];
	int len;

	if (byte == '\\') {
		string->escaped = true;
		string->cause = "no such escape in a string";
		return scan_escape(text, at);
	}
	if (byte < 0x20) {
		string->cause = "a control character in a string (write it as an escape)";
		return JSON_BAD;
	}
	len = utf8_sequence(slice_of(text.ptr + *at, text.len - *at));
	if (len > 0) {
		*at += (size_t)len;
		return JSON_WHOLE;
	}
	string->cause = "invalid UTF-8";
	return len == UTF8_CUT ? JSON_CUT : JSON_BAD;
}

enum json_scan json_string_scan(struct slice text, struct json_string *string)
{
	enum json_scan found = JSON_WHOLE;
	size_t at = 1;

	*string = (struct json_string){0};
	for (;;) {
		at = skip_plain(text, at);
		if (at == text.len)
			found = JSON_CUT;
		else if (text.ptr[at] == '"')
			break;
		else
			found = scan_special(text, &at, string);
		if (found != JSON_WHOLE) {
			string->len = at;
			return found;
		}
	}
	string->len = at + 1;
	return JSON_WHOLE;
}

static uint32_t hex4(const char *at)
{
	uint32_t unit = 0;

	for (int i = 0; i < 4; i++)
		unit = unit << 4 | (uint32_t)hex_digit(at[i]);
	return unit;
}

/* Decodes the \u escape at `at` (behind it another may be its low half); returns where it ends. */
static const char *unescape_unit(const char *at, const char *end, char *to, size_t *len)
{
	uint32_t point = hex4(at + 2);

	at += 6;
	if (point >= 0xd800 && point < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
		uint32_t low = hex4(at + 2);

		if (low >= 0xdc00 && low < 0xe000) {
			point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
			at += 6;
		}
	}
	*len += utf8_encode(to + *len, point);
	return at;
}

static char unescaped(char letter)
{
	switch (letter) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return letter;
	}
}

/* No escape is shorter than what it stands for, so the text between the quotes is room enough. */
static size_t unescape(const char *at, const char *end, char *to)
{
	size_t len = 0;

	while (at < end) {
		const char *next = memchr(at, '\\', (size_t)(end - at));
		size_t run = (size_t)((next ? next : end) - at);

		memcpy(to + len, at, run);
		len += run;
		at += run;
		if (at == end)
			break;
		if (at[1] == 'u') {
			at = unescape_unit(at, end, to, &len);
		} else {
			to[len++] = unescaped(at[1]);
			at += 2;
		}
	}
	return len;
}

int json_string_text(struct arena *arena, struct slice text, const struct json_string *string,
	struct slice *decoded)
{
	const char *inner = text.ptr + 1;
	size_t len = string->len - 2;
	char *copy;

	*decoded = slice_of(inner, len);
	if (!string->escaped)
		return 0;
	copy = arena_alloc(arena, len);
	if (!copy)
		return -ENOMEM;
	*decoded = slice_of(copy, unescape(inner, inner + len, copy));
	return 0;
}

static void print_escape(struct buf *out, unsigned char byte)
{
	static const char letters[] = "btn?fr"; /* 0x08 to 0x0d; 0x0b has none */
	char escape[] = {'\\', (char)byte};

	if (byte >= 0x08 && byte <= 0x0d && byte != 0x0b)
		escape[1] = letters[byte - 0x08];
	if (byte < 0x20 && escape[1] == (char)byte)
		buf_add_unit(out, byte, HEX);
	else
		buf_add(out, escape, sizeof(escape));
}

/* Prints what is_special holds at `at`; returns its length. */
static size_t print_special(struct buf *out, struct slice text, size_t at)
{
	unsigned char byte = (unsigned char)text.ptr[at];
	size_t run = 1;

	if (byte < 0x80) {
		print_escape(out, byte);
		return 1;
	}
	if (byte == 0xed && text.len - at >= 3 && (unsigned char)text.ptr[at + 1] >= 0xa0) {
		buf_add_unit(out, utf8_decode(text.ptr + at, &run), HEX);
		return run;
	}
	while (at + run < text.len && (unsigned char)text.ptr[at + run] >= 0x80 &&
		(unsigned char)text.ptr[at + run] != 0xed)
		run++;
	buf_add(out, text.ptr + at, run);
	return run;
}

void json_string_print(struct buf *out, struct slice text)
{
	size_t at = 0;

	while (at < text.len) {
		size_t plain = skip_plain(text, at);

		buf_add(out, text.ptr + at, plain - at);
		at = plain;
		if (at < text.len)
			at += print_special(out, text, at);
	}
}
