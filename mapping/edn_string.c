/* SPDX-License-Identifier: MIT */
#include "edn_token.h"

#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static const uint64_t ONES = 0x0101010101010101u;
static const uint64_t HIGHS = 0x8080808080808080u;

/* Non-zero where one of eight bytes is zero (the lowest such byte is exact). */
static uint64_t zero_bytes(uint64_t word)
{
	return (word - ONES) & ~word & HIGHS;
}

/* Eight bytes at a time: does one of them end a plain run? */
static bool ends_run(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return ((word & HIGHS) | zero_bytes(word ^ ONES * '"') | zero_bytes(word ^ ONES * '\\')) !=
	       0;
}

/* The first quote, backslash or byte that is not ASCII. */
static const char *plain_run(const char *at, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');

	for (; end - at >= 16; at += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
		__m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote),
			_mm_cmpeq_epi8(bytes, backslash));
		int mask = _mm_movemask_epi8(_mm_or_si128(hit, bytes));

		if (mask)
			return at + __builtin_ctz((unsigned)mask);
	}
#endif
	while (end - at >= 8 && !ends_run(at))
		at += 8;
	while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at < 0x80)
		at++;
	return at;
}

/* One code point as Java's reader sees it: what lies outside of the BMP is two units, no digit. */
static int digit_at(const struct edn_source *src, const char *at, unsigned base, unsigned *len)
{
	*len = edn_utf8_len(at, src->end);
	if (*len == 0 || *len == 4)
		return -1;
	return edn_digit(edn_utf8_point(at), base);
}

/* Does an escape's digits end here: at white space or a macro character? */
static bool ends_digits(const struct edn_source *src, const char *at)
{
	unsigned len = edn_utf8_len(at, src->end);

	if (edn_class_of(at) & (EDN_C_END | EDN_C_HASH))
		return true;
	return len > 1 && edn_is_space(edn_utf8_point(at));
}

/* Up to max digits, of which the first must be one. Returns how many there were. */
static int read_digits(const struct edn_source *src, const char **at, unsigned base, unsigned max,
	unsigned *unit)
{
	unsigned count = 0;
	const char *p = *at;

	*unit = 0;
	for (; count < max && p < src->end && !(count && ends_digits(src, p)); count++) {
		unsigned len;
		int digit = digit_at(src, p, base, &len);

		if (len == 0)
			return edn_fail_utf8(src, p);
		if (digit < 0)
			return edn_fail(src, p, "invalid digit in an escape: %.*s", (int)len, p);
		*unit = *unit * base + (unsigned)digit;
		p += len;
	}
	*at = p;
	return (int)count;
}

static int read_numeric_escape(const struct edn_source *src, const char **at, unsigned *unit)
{
	const char *start = *at;
	bool hex = *start == 'u';
	int count;

	*at += hex;
	count = read_digits(src, at, hex ? 16 : 8, hex ? 4 : 3, unit);
	if (count < 0)
		return count;
	if (*at == src->end)
		return edn_fail_cut(src, *at, "the text ends inside a string");
	if (hex && count < 4)
		return edn_fail(src, start, "\\u needs four digits");
	if (!hex && *unit > 0377)
		return edn_fail(src, start, "an octal escape above \\377");
	return 0;
}

/* Of the escapes of one letter. */
static const char MEANINGS[256] = {['t'] = '\t',
	['r'] = '\r',
	['n'] = '\n',
	['\\'] = '\\',
	['"'] = '"',
	['b'] = '\b',
	['f'] = '\f'};

/* `at` is behind the backslash; *unit: the UTF-16 unit that the escape stands for. */
static int read_escape(const struct edn_source *src, const char **at, unsigned *unit)
{
	unsigned len;

	if (*at == src->end)
		return edn_fail_cut(src, *at, "the text ends inside a string");
	*unit = (unsigned char)MEANINGS[(unsigned char)**at];
	if (*unit) {
		*at += 1;
		return 0;
	}
	if (**at == 'u' || digit_at(src, *at, 10, &len) >= 0)
		return read_numeric_escape(src, at, unit);
	if (len == 0)
		return edn_fail_utf8(src, *at);
	return edn_fail(src, *at - 1, "unsupported escape: \\%.*s", (int)len, *at);
}

int edn_skip_string(const struct edn_source *src, const char **at, bool *escaped)
{
	const char *p = *at + 1;

	*escaped = false;
	while ((p = plain_run(p, src->end)) < src->end) {
		if (*p == '"') {
			*at = p + 1;
			return 0;
		}
		while (p < src->end && *p == '\\') {
			unsigned unit;
			int ret;

			p++;
			*escaped = true;
			ret = read_escape(src, &p, &unit);
			if (ret)
				return ret;
		}
		while (p < src->end && (unsigned char)*p >= 0x80) {
			unsigned len = edn_utf8_len(p, src->end);

			if (!len)
				return edn_fail_utf8(src, p);
			p += len;
		}
	}
	return edn_fail_cut(src, src->end, "the text ends inside a string");
}

static bool is_pair(unsigned high, unsigned low)
{
	return high >= 0xd800 && high < 0xdc00 && low >= 0xdc00 && low < 0xe000;
}

/* One escape, at *at. before: the unit of another one that ends here, or 0. Returns its own unit, 0 for a pair. */
static unsigned unescape_one(const struct edn_source *body, const char **at, char **out,
	unsigned before)
{
	unsigned unit = 0;

	*at += 1;
	(void)read_escape(body, at, &unit);
	if (is_pair(before, unit)) {
		*out -= 3;
		*out += utf8_encode(*out, 0x10000 + ((before - 0xd800) << 10) + (unit - 0xdc00));
		return 0;
	}
	*out += utf8_encode(*out, unit);
	return unit;
}

/* A body that edn_skip_string took, without its escapes. to has room: no escape grows. */
static size_t unescape(const struct edn_source *body, char *to)
{
	const char *p = body->start;
	char *out = to;
	unsigned before = 0;

	while (p < body->end) {
		if (*p != '\\') {
			const char *stop = memchr(p, '\\', (size_t)(body->end - p));
			size_t plain = (size_t)((stop ? stop : body->end) - p);

			memcpy(out, p, plain);
			p += plain;
			out += plain;
			before = 0;
		} else if (MEANINGS[(unsigned char)p[1]]) {
			*out++ = MEANINGS[(unsigned char)p[1]];
			p += 2;
			before = 0;
		} else {
			before = unescape_one(body, &p, &out, before);
		}
	}
	return (size_t)(out - to);
}

int edn_read_string(const struct edn_source *src, const char **at, struct arena *arena,
	struct edn *value)
{
	const char *start = *at + 1;
	struct edn_source body;
	char *text;
	bool escaped;
	int ret = edn_skip_string(src, at, &escaped);

	if (ret)
		return ret;
	*value = (struct edn){
		.type = EDN_STRING, .count = (uint32_t)(*at - 1 - start), .text = start};
	if (!escaped)
		return 0;
	text = arena_alloc(arena, value->count);
	if (!text)
		return err_set(src->err, -ENOMEM, "out of memory");
	/* The closing quote stays in sight: an escape's digits may end there. */
	body = (struct edn_source){start, *at, NULL};
	value->count = (uint32_t)unescape(&body, text) - 1;
	value->text = text;
	return 0;
}
