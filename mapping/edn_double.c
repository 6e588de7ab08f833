/* SPDX-License-Identifier: MIT */
#include "edn.h"

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
	char text[48];

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

/* Correctly rounded to so many digits. The point is skipped, whatever the locale calls it. */
static void round_to(double real, int count, struct digits *d)
{
	char text[48];
	const char *p;

	snprintf(text, sizeof(text), "%.*e", count - 1, real);
	d->count = 0;
	for (p = text; *p != 'e'; p++)
		if (*p >= '0' && *p <= '9')
			d->digit[d->count++] = *p;
	d->exponent = (int)strtol(p + 1, NULL, 10) + 1;
}

/*
 * The shortest digits that read back. A normal double that 15 digits can say is said by its rounding
 * to 15, zeros cut; a subnormal has fewer, so all lengths are tried (from two: 4.9E-324, as Java). Just above
 * a power of two the shortest can be the neighbour of the rounding.
 */
static void find_shortest(double real, struct digits *d)
{
	int count = real < DBL_MIN ? 2 : 15;

	for (; count < 17; count++) {
		round_to(real, count, d);
		if (reads_back(d, real))
			break;
		next_up(d);
		if (reads_back(d, real))
			break;
	}
	if (count == 17)
		round_to(real, 17, d);
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
