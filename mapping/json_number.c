/* SPDX-License-Identifier: MIT */
#include "edn_double.h"
#include "json_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static size_t skip_digits(struct slice text, size_t at)
{
	while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
		at++;
	return at;
}

static enum json_scan missing_digit(struct slice text, size_t at, struct json_number *number)
{
	number->len = at;
	number->cause = "a digit is missing in a number";
	return at == text.len ? JSON_CUT : JSON_BAD;
}

/* RFC 8259, section 6: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
enum json_scan json_number_scan(struct slice text, struct json_number *number)
{
	size_t at = text.len && text.ptr[0] == '-';
	size_t end = skip_digits(text, at);

	*number = (struct json_number){.integer = true};
	if (end == at)
		return missing_digit(text, at, number);
	if (text.ptr[at] == '0' && end > at + 1) {
		number->len = at;
		number->cause = "a number that begins with 0";
		return JSON_BAD;
	}
	if (end < text.len && text.ptr[end] == '.') {
		number->integer = false;
		at = end + 1;
		end = skip_digits(text, at);
		if (end == at)
			return missing_digit(text, at, number);
	}
	if (end < text.len && (text.ptr[end] | 0x20) == 'e') {
		number->integer = false;
		at = end + 1;
		number->growing = at == text.len || text.ptr[at] != '-';
		at += at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+');
		end = skip_digits(text, at);
		if (end == at)
			return missing_digit(text, at, number);
	}
	number->len = end;
	return JSON_WHOLE;
}

static bool fits_int64(struct slice digits, bool negative, int64_t *value)
{
	uint64_t sum = 0;

	if (digits.len > 19)
		return false;
	for (size_t i = 0; i < digits.len; i++)
		sum = sum * 10 + (uint64_t)(digits.ptr[i] - '0');
	if (sum > (uint64_t)INT64_MAX + negative)
		return false;
	*value = (int64_t)(negative ? 0 - sum : sum);
	return true;
}

struct edn json_integer_value(struct slice digits, bool big)
{
	struct edn v = {.type = EDN_INT};
	size_t sign = digits.ptr[0] == '-';

	if (!big && fits_int64(slice_of(digits.ptr + sign, digits.len - sign), sign, &v.integer))
		return v;
	if (digits.ptr[sign] == '0') /* -0 is 0 */
		digits = slice_of(digits.ptr + sign, 1);
	v.type = EDN_BIGINT;
	v.count = (uint32_t)digits.len;
	v.text = digits.ptr;
	return v;
}

int json_double_value(struct slice number, double *value)
{
	int ret = edn_double_read(number, value);

	return ret == 0 && isinf(*value) ? -ERANGE : ret;
}

/*
 * A double without a fraction would come back as an integer from a tool that writes 1.0 as 1. Those
 * from 10^32 on, if they have more than one digit (1.5e300), are written with an exponent by all:
 * the last to switch is jq, at 17 digits and 15 zeros.
 */
static const double LARGE = 1e32;

/* 0.DIGITS x 10^point */
struct decimal {
	bool negative;
	char digits[32];
	size_t count;
	int point;
};

static int small_int(struct slice text)
{
	bool negative = text.len && text.ptr[0] == '-';
	int value = 0;

	for (size_t i = negative; i < text.len; i++)
		value = value * 10 + (text.ptr[i] - '0');
	return negative ? -value : value;
}

/* Takes what edn_print_double wrote ("-1.5E-7") apart: the digits are shortest already. */
static void decimal_of(struct decimal *d, struct slice text)
{
	bool point = false;

	*d = (struct decimal){.negative = text.ptr[0] == '-'};
	for (size_t i = d->negative; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == 'E') {
			d->point += small_int(slice_of(text.ptr + i + 1, text.len - i - 1));
			break;
		}
		if (c == '.') {
			point = true;
			continue;
		}
		if (d->count || c != '0') {
			d->point += !point;
			if (d->count < sizeof(d->digits))
				d->digits[d->count++] = c;
		} else {
			d->point -= point; /* a leading zero is no digit */
		}
	}
	while (d->count > 1 && d->digits[d->count - 1] == '0')
		d->count--;
}

static void print_decimal(struct buf *out, const struct decimal *d)
{
	static const char zeros[] = "0.000";
	size_t whole = d->point > 0 ? (size_t)d->point : 0;

	if (d->negative)
		buf_add_char(out, '-');
	if (d->point > -4 && d->point <= 0) {
		buf_add(out, zeros, 2 + (size_t)-d->point);
		buf_add(out, d->digits, d->count);
	} else if (whole && whole < d->count) {
		buf_add(out, d->digits, whole);
		buf_add_char(out, '.');
		buf_add(out, d->digits + whole, d->count - whole);
	} else {
		buf_add_char(out, d->digits[0]);
		if (d->count > 1) {
			buf_add_char(out, '.');
			buf_add(out, d->digits + 1, d->count - 1);
		}
		buf_add_char(out, 'e');
		buf_add_integer(out, d->point - 1);
	}
}

bool json_double_print(struct buf *out, double real)
{
	size_t start = out->len;
	struct decimal d;

	if (!isfinite(real) || (real == trunc(real) && fabs(real) < LARGE))
		return false;
	edn_print_double(out, real);
	if (out->failed)
		return true;
	decimal_of(&d, slice_of(out->ptr + start, out->len - start));
	out->len = start;
	if (d.count == 1 && fabs(real) >= LARGE)
		return false;
	print_decimal(out, &d);
	return true;
}
