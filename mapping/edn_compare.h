/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_COMPARE_H
#define OUROFS_EDN_COMPARE_H

#include "edn.h"

/* What equality, hashes and printers ask of a value. Internal to the edn_*.c files. */

/* The BIGINT as a Long, if it fits. */
bool edn_fits_long(const struct edn *v, int64_t *integer);

/* A DECIMAL's number: 0.d1d2d3... * 10^exponent, without zeros in front of or behind the digits. */
struct edn_decimal_parts {
	struct slice digits; /* may hold a point, which counts nothing */
	size_t count;        /* bytes of digits that matter */
	int64_t exponent;
	bool negative;
};
struct edn_decimal_parts edn_decimal_parts(struct slice text);
bool edn_decimal_equal(struct slice a, struct slice b);

/* Numbers, texts and constants: what has no items. Clojure's = or, exact, identity. */
bool edn_leaf_equal(const struct edn *a, const struct edn *b, bool exact);

#endif
