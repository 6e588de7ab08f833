/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EAV_CHECK_PRIVATE_H
#define OUROFS_EAV_CHECK_PRIVATE_H

#include "arena.h"
#include "eav_check.h"
#include "eav_private.h"

struct eav_check {
	eav_problem_fn *fn;
	void *context;
	struct eav_reader *reader; /* of the slice */
	unsigned stage;
	struct buf at;    /* the key of the row that was looked at last */
	uint64_t highest; /* number that was seen */
	uint64_t owner;   /* whose rows were looked at last, and who that is */
	int owner_state;
	struct slice owner_name;
	struct arena arena;       /* the value of the document in hand */
	struct eav_datoms datoms; /* its datoms */
	struct buf scratch;
};

int eav_check_tell(struct eav_check *check, enum eav_problem_kind kind, struct slice name,
	uint64_t number, const char *what);
/* The same of a datom, whole. */
int eav_check_tell_datom(struct eav_check *check, enum eav_problem_kind kind, struct slice name,
	uint64_t number, struct slice whole, const char *what);

/* ---- eav_check_datoms.c ---- */

/* Are the datoms under number those of value (NULL: none)? */
int eav_check_datoms(struct eav_check *check, struct slice name, uint64_t number,
	const struct edn *value);

#endif
