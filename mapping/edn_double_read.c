/* SPDX-License-Identifier: MIT */
#include "edn_double.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>

static int by_libc(struct slice text, double *value)
{
	char small[64];
	char *copy = text.len < sizeof(small) ? small : malloc(text.len + 1);
	locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	int ret = -ENOMEM;

	if (copy && locale) {
		memcpy(copy, text.ptr, text.len);
		copy[text.len] = '\0';
		*value = strtod_l(copy, NULL, locale);
		ret = 0;
	}
	if (locale)
		freelocale(locale);
	if (copy != small)
		free(copy);
	return ret;
}

/* digits * 10^exponent: a number that is written with at most 19 digits, zeros in front aside. */
struct decimal {
	bool negative;
	uint64_t digits;
	int exponent;
};

/* The exponent behind the e; false where it is so long that it can only mean zero or infinity. */
static bool take_exponent(struct slice text, int *exponent)
{
	bool negative = text.len && text.ptr[0] == '-';
	size_t at = text.len && (negative || text.ptr[0] == '+');
	int number = 0;

	if (text.len - at > 4)
		return false;
	for (; at < text.len; at++)
		number = number * 10 + (text.ptr[at] - '0');
	*exponent += negative ? -number : number;
	return true;
}

static bool take_decimal(struct slice text, struct decimal *d)
{
	size_t at = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+');
	bool point = false;
	int count = 0;

	*d = (struct decimal){.negative = text.ptr[0] == '-'};
	for (; at < text.len; at++) {
		char c = text.ptr[at];

		if (c == '.') {
			point = true;
			continue;
		}
		if (c < '0' || c > '9')
			return take_exponent(slice_of(text.ptr + at + 1, text.len - at - 1),
				&d->exponent);
		d->digits = d->digits * 10 + (uint64_t)(c - '0');
		count += count || d->digits;
		d->exponent -= point;
		if (count > 19)
			return false;
	}
	return true;
}

int edn_double_read(struct slice text, double *value)
{
	struct decimal d;

	if (!take_decimal(text, &d) || !edn_double_of_digits(d.digits, d.exponent, value))
		return by_libc(text, value);
	if (d.negative)
		*value = -*value;
	return 0;
}
