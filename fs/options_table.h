/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_OPTIONS_TABLE_H
#define OUROFS_OPTIONS_TABLE_H

#include <stdint.h>

#include "options.h"

/* The table of options.h: every option that there is, each with the function that takes it. */
struct option_row;

/* value: what stands behind the '=', NULL for an option without one. */
typedef int option_set_fn(struct options *options, const struct option_row *row, const char *value,
	struct err *err);

struct option_row {
	char letter;      /* -f; 0: none */
	const char *word; /* behind -o; ends in '=' when it takes a value, in '*' when it stands for
			     * all that begin so. NULL: only the letter */
	const char *value; /* what the value is called in the help */
	const char *help;  /* NULL: only named there, with the others of its kind */
	option_set_fn *set;
	size_t offset; /* of the field in struct options */
	uint64_t max;  /* of a number */
	bool dashed;   /* the word is --word, and not one of -o's */
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* Setters by which the help groups rows: what the kernel gets, and what is for mount(8) alone. */
option_set_fn option_pass_on;
option_set_fn option_ignore;

#endif
