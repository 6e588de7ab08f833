/* SPDX-License-Identifier: MIT */
#include "edn_double.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A finite double as 0.d1d2d3... * 10^exponent. */
struct digits {
	char digit[20];
	int count;
	int exponent;
};

static bool reads_back(const struct digits *d, double real)
{
	uint64_t number = 0;
	char text[48];
	double back;

	for (int i = 0; i < d->count; i++)
		number = number * 10 + (uint64_t)(d->digit[i] - '0');
	if (edn_double_of_digits(number, d->exponent - d->count, &back))
		return back == real;
	snprintf(text, sizeof(text), "%.*se%d", d->count, d->digit, d->exponent - d->count);
	return strtod(text, NULL) == real;
}

/* The next number with as many digits. */
static void next_up(struct digits *d)
{
	int i = d->count;

	while (i > 0 && d->digit[i - 1] == '9')
		d->digit[--i] = '0';
	if (i > 0) {
		d->digit[i - 1]++;
		return;
	}
	d->digit[0] = '1';
	d->exponent++;
}

/* A double above zero, also as digits * 10^exponent, rounded to EDN_DOUBLE_DIGITS. */
struct rounded {
	double real;
	uint64_t digits;
	int exponent;
};

/* Correctly rounded to so many digits. The point is skipped, whatever the locale calls it. */
static uint64_t round_by_libc(double real, int count, int *exponent)
{
	uint64_t number = 0;
	char text[48];
	const char *p;

	snprintf(text, sizeof(text), "%.*e", count - 1, real);
	for (p = text; *p != 'e'; p++)
		if (*p >= '0' && *p <= '9')
			number = number * 10 + (uint64_t)(*p - '0');
	*exponent = (int)strtol(p + 1, NULL, 10) + 1 - count;
	return number;
}

/* Rounded to fewer digits: from those that are known, unless a second rounding could differ from a first. */
static void round_to(const struct rounded *from, int count, struct digits *d)
{
	static const uint64_t ALL = 100000000000000000u; /* 10^EDN_DOUBLE_DIGITS */
	uint64_t unit = 1;
	uint64_t number;
	uint64_t rest;

	for (int i = count; i < EDN_DOUBLE_DIGITS; i++)
		unit *= 10;
	rest = from->digits % unit;
	number = from->digits / unit + (rest > unit / 2);
	d->exponent = from->exponent + EDN_DOUBLE_DIGITS;
	if (unit > 1 && rest == unit / 2) {
		number = round_by_libc(from->real, count, &d->exponent);
		d->exponent += count;
	}
	if (number == ALL / unit) { /* there were nines only */
		number /= 10;
		d->exponent++;
	}
	d->count = count;
	for (int i = count - 1; i >= 0; i--, number /= 10)
		d->digit[i] = (char)('0' + number % 10);
}

/*
 * The shortest digits that read back. A normal double that 15 digits can say is said by its rounding
 * to 15, zeros cut; a subnormal has fewer, so all lengths are tried (from two: 4.9E-324, as Java). Just above
 * a power of two the shortest can be the neighbour of the rounding.
 */
static void find_shortest(double real, struct digits *d)
{
	struct rounded from = {.real = real};
	int count = real < DBL_MIN ? 2 : 15;

	if (!edn_double_to_digits(real, &from.digits, &from.exponent))
		from.digits = round_by_libc(real, EDN_DOUBLE_DIGITS, &from.exponent);
	for (; count < EDN_DOUBLE_DIGITS; count++) {
		round_to(&from, count, d);
		if (reads_back(d, real))
			break;
		next_up(d);
		if (reads_back(d, real))
			break;
	}
	if (count == EDN_DOUBLE_DIGITS)
		round_to(&from, count, d);
	while (d->count > 1 && d->digit[d->count - 1] == '0')
		d->count--;
}

static void add_zeros(struct buf *out, int count)
{
	for (; count > 0; count--)
		buf_add_char(out, '0');
}

/* Between 10^-3 and 10^7: with all its places, and at least one on either side of the point. */
static void print_plain(struct buf *out, const struct digits *d)
{
	int whole = d->exponent < 0 ? 0 : d->exponent;
	int have = d->count < whole ? d->count : whole;

	if (whole)
		buf_add(out, d->digit, (size_t)have);
	add_zeros(out, whole ? whole - have : 1);
	buf_add_char(out, '.');
	add_zeros(out, -d->exponent);
	buf_add(out, d->digit + have, (size_t)(d->count - have));
	if (d->count == have)
		buf_add_char(out, '0');
}

void edn_print_double(struct buf *out, double real)
{
	struct digits d;

	if (isnan(real)) {
		buf_add_str(out, "##NaN");
		return;
	}
	if (isinf(real)) {
		buf_add_str(out, real < 0 ? "##-Inf" : "##Inf");
		return;
	}
	if (signbit(real))
		buf_add_char(out, '-');
	if (real == 0) {
		buf_add_str(out, "0.0");
		return;
	}
	find_shortest(fabs(real), &d);
	if (d.exponent > -3 && d.exponent <= 7) {
		print_plain(out, &d);
		return;
	}
	buf_add_char(out, d.digit[0]);
	buf_add_char(out, '.');
	buf_add(out, d.digit + 1, (size_t)d.count - 1);
	if (d.count == 1)
		buf_add_char(out, '0');
	buf_add_format(out, "E%d", d.exponent - 1);
}
