/* SPDX-License-Identifier: MIT */
#include "edn_compare.h"

bool edn_fits_long(const struct edn *v, int64_t *integer)
{
	bool negative = v->count && v->text[0] == '-';
	uint32_t i;

	if (v->count > 20)
		return false;
	*integer = 0;
	for (i = negative; i < v->count; i++) {
		int digit = v->text[i] - '0';

		if (__builtin_mul_overflow(*integer, 10, integer) ||
			__builtin_sub_overflow(*integer, digit, integer))
			return false;
	}
	return negative || !__builtin_sub_overflow(0, *integer, integer);
}

static int64_t exponent_of(const char *at, const char *end)
{
	int64_t exponent = 0;
	bool negative = at < end && *at == '-';

	for (at += at < end && (*at == '-' || *at == '+'); at < end; at++)
		exponent = exponent * 10 + (*at - '0');
	return negative ? -exponent : exponent;
}

struct edn_decimal_parts edn_decimal_parts(struct slice text)
{
	struct edn_decimal_parts d = {.negative = text.len && text.ptr[0] == '-'};
	const char *end = text.ptr + text.len;
	const char *p = text.ptr + d.negative;
	const char *e = memchr(p, 'E', (size_t)(end - p));
	const char *digits_end = e ? e : end;
	const char *point = memchr(p, '.', (size_t)(digits_end - p));

	d.exponent = (point ? point : digits_end) - p;
	if (e)
		d.exponent += exponent_of(e + 1, end);
	for (; p < digits_end && (*p == '0' || *p == '.'); p++)
		d.exponent -= *p == '0';
	while (digits_end > p && (digits_end[-1] == '0' || digits_end[-1] == '.'))
		digits_end--;
	d.digits = slice_of(p, (size_t)(digits_end - p));
	d.count = d.digits.len;
	if (d.count == 0)
		d.exponent = 0;
	return d;
}

bool edn_decimal_equal(struct slice a, struct slice b)
{
	struct edn_decimal_parts x = edn_decimal_parts(a);
	struct edn_decimal_parts y = edn_decimal_parts(b);
	size_t i = 0;
	size_t k = 0;

	if (x.negative != y.negative || x.exponent != y.exponent)
		return false;
	for (;; i++, k++) {
		i += i < x.count && x.digits.ptr[i] == '.';
		k += k < y.count && y.digits.ptr[k] == '.';
		if (i == x.count || k == y.count)
			return i == x.count && k == y.count;
		if (x.digits.ptr[i] != y.digits.ptr[k])
			return false;
	}
}

static bool integers_equal(const struct edn *a, const struct edn *b)
{
	int64_t x = a->integer;
	int64_t y = b->integer;

	if (a->type == EDN_BIGINT && !edn_fits_long(a, &x))
		return b->type == EDN_BIGINT && slice_equal(edn_text(a), edn_text(b));
	if (b->type == EDN_BIGINT && !edn_fits_long(b, &y))
		return false;
	return x == y;
}

static uint64_t bits_of(double real)
{
	uint64_t bits;

	memcpy(&bits, &real, sizeof(bits));
	return bits;
}

static bool doubles_equal(double a, double b, bool exact)
{
	if (a != a || b != b)
		return a != a && b != b;
	return exact ? bits_of(a) == bits_of(b) : a == b;
}

bool edn_leaf_equal(const struct edn *a, const struct edn *b, bool exact)
{
	if (!exact && (a->type == EDN_INT || a->type == EDN_BIGINT) &&
		(b->type == EDN_INT || b->type == EDN_BIGINT))
		return integers_equal(a, b);
	if (a->type != b->type)
		return false;
	switch ((enum edn_type)a->type) {
	case EDN_NIL:
		return true;
	case EDN_BOOL:
	case EDN_INT:
	case EDN_CHAR:
		return a->integer == b->integer;
	case EDN_DOUBLE:
		return doubles_equal(a->real, b->real, exact);
	case EDN_DECIMAL:
		if (!exact)
			return edn_decimal_equal(edn_text(a), edn_text(b));
		return slice_equal(edn_text(a), edn_text(b));
	default:
		return slice_equal(edn_text(a), edn_text(b));
	}
}
