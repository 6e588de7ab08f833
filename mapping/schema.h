/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SCHEMA_H
#define OUROFS_SCHEMA_H

#include "edn.h"

/*
 * Which keys are collections, and what type of entity each key holds: a table of key patterns, not
 * a guess. The built-in rows are those of ourofs(5); -o mapping=FILE (EDN) adds rows before them.
 *
 * A pattern is keyword text cut at '/': a segment matches itself, `*` any one segment, `**` (last
 * only) one or more. Keywords with an empty segment (":/", ":a//b") match no pattern.
 */
enum schema_member { SCHEMA_STRING, SCHEMA_KEYWORD };

struct schema_row {
	const char *pattern;       /* "presence/ **" without the blank */
	const char *type;          /* entity type: "presence" */
	bool collection;           /* a map under this key is a directory, its members files */
	enum schema_member member; /* collections: what an unmarked member name is */
};

struct schema;

int schema_new(struct schema **schema, struct err *err); /* the built-in table */
/* Adds the rows of an EDN text, first in order of match. Format: see ourofs(5). -EBADMSG, -ENOMEM */
int schema_add(struct schema *schema, struct slice edn, struct err *err);
void schema_free(struct schema *schema);

/* The first row whose pattern matches the keyword text, or NULL. */
const struct schema_row *schema_match(const struct schema *schema, struct slice keyword);
/* The row of a collection pattern that matches, or NULL. */
const struct schema_row *schema_collection(const struct schema *schema, struct slice keyword);
/*
 * Length of the shortest proper prefix of keyword, at a segment's end, that matches a collection
 * pattern; 0 when there is none.
 */
size_t schema_collection_prefix(const struct schema *schema, struct slice keyword);

/* The entity type of a document key: by pattern, "learning" for a map with :learning/id, else "cache". */
const char *schema_type(const struct schema *schema, const struct edn *key,
	const struct edn *value);

#endif
