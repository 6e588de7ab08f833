/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_BIG_H
#define OUROFS_EDN_BIG_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

/*
 * Just enough big integers to read EDN's: other bases than ten, and ratios in lowest terms. Naturals of
 * at most EDN_BIG_DIGITS digits in any base to 36; the time is quadratic in that bound, no more.
 * Internal to the edn_*.c files.
 */
enum { EDN_BIG_DIGITS = 4096, EDN_BIG_LIMBS = 664, EDN_BIG_DECIMALS = EDN_BIG_LIMBS * 10 };

struct edn_big {
	uint32_t count; /* limbs in use, the highest not zero; 0 is the number zero */
	uint32_t limb[EDN_BIG_LIMBS];
};

/* False: more than EDN_BIG_DIGITS digits, or one that isn't of this base. */
bool edn_big_parse(struct edn_big *n, struct slice digits, unsigned base);
/* a / b and a % b; either result may be NULL, b must not be zero. */
void edn_big_divide(const struct edn_big *a, const struct edn_big *b, struct edn_big *quotient,
	struct edn_big *remainder);
void edn_big_gcd(struct edn_big *a, struct edn_big *b); /* into a; b is used up */
/* Decimal digits, into EDN_BIG_DECIMALS bytes. Returns how many. */
uint32_t edn_big_print(const struct edn_big *n, char *to);

#endif
