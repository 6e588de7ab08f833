/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SCHEMA_TABLE_H
#define OUROFS_SCHEMA_TABLE_H

#include "schema.h"

/* What schema.c (the table, matching) and schema_read.c (rows from EDN) share; for no one else. */

struct schema_pattern {
	struct schema_row row;
	const struct slice *segments; /* of row.pattern, without a final "**" */
	size_t count;
	bool deep;  /* it ends in "**" */
	char first; /* byte of the text: most rows are told apart by it; '*' takes any */
};

struct schema {
	struct schema_pattern *patterns; /* in order of match */
	size_t count;
	size_t longest;     /* segments of the longest pattern, "**" counted as one */
	struct arena arena; /* texts of added rows, segments */
};

/* row's strings must live as long as the schema. 0 or -ENOMEM */
int schema_pattern_init(struct schema_pattern *pattern, struct arena *arena,
	const struct schema_row *row);
/* Takes patterns over, from malloc; the former array is freed. */
void schema_set_patterns(struct schema *schema, struct schema_pattern *patterns, size_t count);

#endif
