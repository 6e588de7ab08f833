/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SCHEMA_H
#define OUROFS_SCHEMA_H

#include "edn.h"

/*
 * Which keys are collections, and what type of entity each key holds: a table of key patterns, not
 * a guess. The built-in rows are those of ourofs(5); -o mapping=FILE (EDN) adds rows before them.
 *
 * A pattern is keyword text cut at '/': a segment matches itself, `*` any one segment, and `**`, as the
 * last segment only, one or more. Keywords with an empty segment (":/", ":a//b") match no pattern.
 * The first row that matches decides, so an added row can also turn a built-in collection, or a part
 * of it, into documents.
 *
 * Any number of threads may ask a schema that no one adds to.
 */
enum schema_member { SCHEMA_STRING, SCHEMA_KEYWORD };

struct schema_row {
	const char *pattern;       // keyword text without its colon: "presence/**"
	const char *type;          /* entity type: "presence" */
	bool collection;           /* a map under this key is a directory, its members files */
	enum schema_member member; /* collections: what an unmarked member name is */
};

struct schema;

int schema_new(struct schema **schema, struct err *err); /* the built-in table */
void schema_free(struct schema *schema);

enum { SCHEMA_ROWS_MAX = 1000, SCHEMA_TYPE_MAX = 64 };

// Adds the rows of an EDN text, before those that are there. It is one map from pattern to row:
//
//	{"sprint/plan" {:type sprint-plan :shape :collection :member :keyword}
//	 "sprint/**"   {:type sprint :shape :collection}
//	 "audit/log"   {:type audit :shape :document}}
//
// pattern   a string or keyword, no colon in front of its text; of two that match, the upper decides
// :type     the entity type: a word of letters, digits, - _ . and at most SCHEMA_TYPE_MAX bytes
// :shape    :collection (a map under the key is a directory of members) or :document
// :member   collections only: what a member's unmarked file name is, :string (default) or :keyword
//
// The words may be written as keywords, symbols or strings. Anything else is an error that names the
// row: -EBADMSG (with line and column where the EDN itself is broken), -ENOMEM; then nothing is added.
int schema_add(struct schema *schema, struct slice edn, struct err *err);

/* The first row whose pattern matches the keyword text (no colon), or NULL. */
const struct schema_row *schema_match(const struct schema *schema, struct slice keyword);
/* That row if it is a collection's, or NULL. */
const struct schema_row *schema_collection(const struct schema *schema, struct slice keyword);
/*
 * Length of the shortest proper prefix of keyword, at a segment's end, that is a collection's key;
 * 0 when there is none.
 */
size_t schema_collection_prefix(const struct schema *schema, struct slice keyword);

/* Keywords with an empty segment have no directories: ":/", ":a//b", ":". */
bool schema_has_empty_segment(struct slice keyword);

/*
 * The entity type of a document key: by pattern, "learning" for a map with :learning/id, else "cache".
 * value may be NULL (not known). Members have the type of their collection's row.
 */
const char *schema_type(const struct schema *schema, const struct edn *key,
	const struct edn *value);

#endif
