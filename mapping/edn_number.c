/* SPDX-License-Identifier: MIT */
#include "edn_big.h"
#include "edn_double.h"
#include "edn_token.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Numbers, as EdnReader's intPat, floatPat and ratioPat cut them, in the form in which pr-str prints
 * them. Arithmetic on big ones (ratios, bases other than ten) is bounded by EDN_BIG_DIGITS.
 */
struct number {
	const struct edn_source *src;
	const char *start; /* with the sign */
	const char *digits;
	const char *end;
	bool negative;
	struct arena *arena;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *at, const char *end)
{
	while (at < end && is_digit(*at))
		at++;
	return at;
}

static int invalid(const struct number *n)
{
	return edn_fail_token(n->src, n->start, n->end, "invalid number");
}

static int no_memory(const struct number *n)
{
	return err_set(n->src->err, -ENOMEM, "out of memory");
}

static int too_big(const struct number *n)
{
	return edn_fail_token(n->src, n->start, n->end,
		"a number that needs arithmetic on more than 4096 digits");
}

/* Sign and digits as the text of a BIGINT. */
static int big_text(const struct number *n, struct slice digits, struct edn *value)
{
	char *text = arena_alloc(n->arena, digits.len + 1);
	bool sign = n->negative && !slice_equal(digits, SLICE_LITERAL("0"));

	if (!text)
		return no_memory(n);
	text[0] = '-';
	memcpy(text + sign, digits.ptr, digits.len);
	*value = (struct edn){
		.type = EDN_BIGINT, .count = (uint32_t)(digits.len + sign), .text = text};
	return 0;
}

/* Does the magnitude fit a Long with this sign? */
static bool fits_long(const struct number *n, uint64_t magnitude)
{
	return magnitude <= (uint64_t)INT64_MAX + n->negative;
}

static void set_long(const struct number *n, uint64_t magnitude, struct edn *value)
{
	*value = (struct edn){
		.type = EDN_INT, .integer = (int64_t)(n->negative ? 0 - magnitude : magnitude)};
}

/* False when the decimal digits pass 64 bits. */
static bool magnitude_of(struct slice digits, uint64_t *magnitude)
{
	size_t i;

	*magnitude = 0;
	for (i = 0; i < digits.len; i++)
		if (__builtin_mul_overflow(*magnitude, 10u, magnitude) ||
			__builtin_add_overflow(*magnitude, (unsigned)(digits.ptr[i] - '0'),
				magnitude))
			return false;
	return true;
}

/* Decimal digits without leading zeros. */
static int decimal_integer(const struct number *n, struct slice digits, bool big, struct edn *value)
{
	uint64_t magnitude;

	if (big || !magnitude_of(digits, &magnitude) || !fits_long(n, magnitude))
		return big_text(n, digits, value);
	set_long(n, magnitude, value);
	return 0;
}

static int other_base(const struct number *n, struct slice digits, unsigned base, bool big,
	struct edn *value)
{
	char text[EDN_BIG_DECIMALS];
	struct edn_big parsed;

	while (digits.len && digits.ptr[0] == '0') {
		digits.ptr++;
		digits.len--;
	}
	if (!edn_big_parse(&parsed, digits, base))
		return digits.len > EDN_BIG_DIGITS ? too_big(n) : invalid(n);
	digits = slice_of(text, edn_big_print(&parsed, text));
	return decimal_integer(n, digits, big, value);
}

/* The digits up to end, of which a last N is the suffix. */
static struct slice without_suffix(const char *at, const char *end, bool *big)
{
	*big = end > at && end[-1] == 'N';
	return slice_of(at, (size_t)(end - at) - *big);
}

static int read_hex(const struct number *n, struct edn *value)
{
	bool big;
	struct slice digits = without_suffix(n->digits + 2, n->end, &big);

	return digits.len ? other_base(n, digits, 16, big, value) : invalid(n);
}

/* 36rZZ: an N is a digit here, never the suffix. */
static int read_radix(const struct number *n, const char *r, struct edn *value)
{
	struct slice digits = slice_of(r + 1, (size_t)(n->end - r - 1));
	unsigned base = 0;
	const char *p;

	for (p = n->digits; p < r; p++)
		base = base * 10 + (unsigned)(*p - '0');
	if (base < 2 || base > 36 || digits.len == 0)
		return invalid(n);
	return other_base(n, digits, base, false, value);
}

static int read_integer(const struct number *n, struct edn *value)
{
	bool big;
	struct slice digits = without_suffix(n->digits, n->end, &big);

	if (digits.ptr[0] == '0' && digits.len > 1)
		return other_base(n, digits, 8, big, value);
	return decimal_integer(n, digits, big, value);
}

/* Past digits [. digits] [e digits]; NULL when something else is there. An M may follow. */
static const char *skip_float(const char *at, const char *end)
{
	at = skip_digits(at, end);
	if (at < end && *at == '.')
		at = skip_digits(at + 1, end);
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		if (at == end || !is_digit(*at))
			return NULL;
		at = skip_digits(at, end);
	}
	return at;
}

static int read_double(const struct number *n, struct edn *value)
{
	double real;

	if (edn_double_read(slice_of(n->start, (size_t)(n->end - n->start)), &real))
		return no_memory(n);
	*value = (struct edn){.type = EDN_DOUBLE, .real = real};
	return 0;
}

static int read_float(const struct number *n, struct edn *value)
{
	const char *end = skip_float(n->digits, n->end);
	struct slice text;
	int ret;

	if (end == n->end)
		return read_double(n, value);
	if (!end || end + 1 != n->end || *end != 'M')
		return invalid(n);
	text = slice_of(n->digits, (size_t)(end - n->digits));
	ret = edn_decimal(n->arena, text, n->negative, value);
	if (ret == -ENOMEM)
		return no_memory(n);
	return ret ? edn_fail(n->src, n->start, "a decimal's exponent is out of range") : 0;
}

static int put_ratio(const struct number *n, struct slice above, struct slice below,
	struct edn *value)
{
	size_t len = n->negative + above.len + 1 + below.len;
	char *text = arena_alloc(n->arena, len);

	if (!text)
		return no_memory(n);
	*text = '-';
	memcpy(text + n->negative, above.ptr, above.len);
	text[n->negative + above.len] = '/';
	memcpy(text + len - below.len, below.ptr, below.len);
	*value = (struct edn){.type = EDN_RATIO, .count = (uint32_t)len, .text = text};
	return 0;
}

static struct slice without_zeros(const char *at, const char *end)
{
	while (at < end && *at == '0')
		at++;
	return slice_of(at, (size_t)(end - at));
}

static bool is_one(const struct edn_big *n)
{
	return n->count == 1 && n->limb[0] == 1;
}

static int reduce(const struct number *n, struct slice above, struct slice below, struct edn *value)
{
	struct edn_big over;
	struct edn_big under;
	struct edn_big divisor;
	struct edn_big scratch;
	char text[EDN_BIG_DECIMALS];
	char text_below[EDN_BIG_DECIMALS];
	uint64_t magnitude;
	bool big; /* Clojure computes with BigInt as soon as one of them is no Long */

	if (!edn_big_parse(&over, above, 10) || !edn_big_parse(&under, below, 10))
		return too_big(n);
	big = !magnitude_of(above, &magnitude) || !fits_long(n, magnitude) ||
	      !magnitude_of(below, &magnitude) || magnitude > INT64_MAX;
	divisor = over;
	scratch = under;
	edn_big_gcd(&divisor, &scratch);
	if (is_one(&divisor) && !is_one(&under))
		return put_ratio(n, above, below, value); /* printing takes longer than all else */
	edn_big_divide(&over, &divisor, &over, NULL);
	edn_big_divide(&under, &divisor, &under, NULL);
	above = slice_of(text, edn_big_print(&over, text));
	if (is_one(&under))
		return decimal_integer(n, above, big, value);
	below = slice_of(text_below, edn_big_print(&under, text_below));
	return put_ratio(n, above, below, value);
}

static int read_ratio(const struct number *n, const char *slash, struct edn *value)
{
	struct slice below = without_zeros(slash + 1, n->end);

	if (slash + 1 == n->end || skip_digits(slash + 1, n->end) != n->end)
		return invalid(n);
	if (below.len == 0)
		return edn_fail_token(n->src, n->start, n->end, "a ratio divides by zero");
	return reduce(n, without_zeros(n->digits, slash), below, value);
}

static int read_any(const struct number *n, struct edn *value)
{
	const char *p = skip_digits(n->digits, n->end);
	bool zero_first = *n->digits == '0';

	if (p == n->end || (*p == 'N' && p + 1 == n->end))
		return read_integer(n, value);
	if ((*p == 'r' || *p == 'R') && !zero_first && p - n->digits <= 2)
		return read_radix(n, p, value);
	if ((*p == 'x' || *p == 'X') && zero_first && p == n->digits + 1)
		return read_hex(n, value);
	if (*p == '/')
		return read_ratio(n, p, value);
	return read_float(n, value);
}

int edn_read_number(const struct edn_source *src, const char **at, struct arena *arena,
	struct edn *value)
{
	struct number n = {.src = src, .start = *at, .digits = *at, .arena = arena};
	uint8_t seen;
	int ret = edn_skip_token(src, at, EDN_C_END | EDN_C_HASH, &seen);

	if (ret)
		return ret;
	n.end = *at;
	n.negative = *n.start == '-';
	n.digits += n.negative || *n.start == '+';
	if (n.digits == n.end || !is_digit(*n.digits))
		return invalid(&n);
	return read_any(&n, value);
}
