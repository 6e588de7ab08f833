/* SPDX-License-Identifier: MIT */
#include "edn_double.h"

#include <float.h>
#include <math.h>

/*
 * Nine roundings to 64 bits at most: five powers that are no exact ones, and the products. So what comes out is wrong by
 * less than this part of itself, and if that makes no difference to the double, nothing does.
 */
static const long double ERROR = 0x1p-60L;

static long double power_of_ten(unsigned exponent)
{
	static const long double SMALL[] = {1e0L, 1e1L, 1e2L, 1e3L, 1e4L, 1e5L, 1e6L, 1e7L, 1e8L,
		1e9L, 1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L};
	static const long double LARGE[] = {1e16L, 1e32L, 1e64L, 1e128L, 1e256L};
	long double power = SMALL[exponent % 16];
	unsigned i;

	for (i = 0, exponent /= 16; exponent; i++, exponent /= 2)
		if (exponent & 1)
			power *= LARGE[i];
	return power;
}

static long double scale(long double number, int exponent)
{
	return exponent < 0 ? number / power_of_ten((unsigned)-exponent)
			    : number * power_of_ten((unsigned)exponent);
}

/* Not everywhere, and not under valgrind. */
static bool has_64_bits(void)
{
	volatile long double one = 1;

	return LDBL_MANT_DIG >= 64 && one + 0x1p-63L != one;
}

/*
 * Clinger's fast path: digits below 2^53 and a power of ten up to 10^22 are both doubles, and one
 * multiplication or division of them is rounded correctly.
 */
static bool is_easy(uint64_t digits, int exponent)
{
	return digits <= (uint64_t)1 << DBL_MANT_DIG && exponent >= -22 && exponent <= 22;
}

static double easy(uint64_t digits, int exponent)
{
	static const double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10,
		1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

	return exponent < 0 ? (double)digits / POWERS[-exponent]
			    : (double)digits * POWERS[exponent];
}

bool edn_double_of_digits(uint64_t digits, int exponent, double *value)
{
	long double number;
	double low;
	double high;

	if (is_easy(digits, exponent)) {
		*value = easy(digits, exponent);
		return true;
	}
	/* beyond that all is zero or infinite, and LARGE ends */
	if (exponent < -400 || exponent > 400 || !has_64_bits())
		return false;
	number = scale((long double)digits, exponent);
	low = (double)(number * (1 - ERROR));
	high = (double)(number * (1 + ERROR));
	*value = low;
	return low == high;
}

bool edn_double_to_digits(double real, uint64_t *digits, int *exponent)
{
	const long double end = 1e17L; /* of numbers with so many digits */
	long double number;
	long double part;
	int binary;

	if (!has_64_bits())
		return false;
	(void)frexp(real, &binary);
	*exponent = (int)floor((binary - 1) * 0.30102999566398119521) - (EDN_DOUBLE_DIGITS - 1);
	number = scale(real, -*exponent);
	if (number >= end) {
		++*exponent;
		number = scale(real, -*exponent);
	}
	*digits = (uint64_t)number;
	part = number - (long double)*digits;
	/* as many digits as it should have, also where the error is taken into account */
	if (number < end / 10 + 1 || number > end - 1 || fabsl(part - 0.5L) <= end * ERROR)
		return false;
	*digits += part > 0.5L;
	return true;
}
