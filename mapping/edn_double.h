/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_DOUBLE_H
#define OUROFS_EDN_DOUBLE_H

#include "edn.h"

/*
 * Doubles and their decimal digits, correctly rounded both ways. libc does that with numbers of any length, a microsecond
 * each; here the x87's 64 bits do, wherever eleven more than a double has can tell. Internal to the readers and printers.
 */

enum { EDN_DOUBLE_DIGITS = 17 }; /* so many tell every double from all others */

/* digits * 10^exponent. False where that is too close to the middle between two doubles to be told. */
bool edn_double_of_digits(uint64_t digits, int exponent, double *value);
/*
 * A finite double above zero as digits * 10^exponent, rounded to EDN_DOUBLE_DIGITS of them. False where it is too close
 * to the middle between two.
 */
bool edn_double_to_digits(double real, uint64_t *digits, int *exponent);

/*
 * The text [+-]digits[.digits][e[+-]digits], as the readers took it: the digits behind the point may be none. An
 * infinity where it overflows. -ENOMEM.
 */
int edn_double_read(struct slice text, double *value);

#endif
