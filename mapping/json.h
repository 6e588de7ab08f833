/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JSON_H
#define OUROFS_JSON_H

#include "edn.h"

/*
 * The lossless JSON of documents: EDN -> JSON -> EDN is the identity for every EDN value, without
 * any context but the text itself. ourofs(5) has the table. RFC 8259, strictly: all it forbids is
 * refused, all it allows is accepted; beyond it, duplicate keys (by Clojure's =), malformed markers,
 * numbers that overflow a double, invalid UTF-8 and nesting past max_depth are errors with line and column.
 */

/* Appends v as compact JSON (indent 0) or indented by so many spaces a level; no final newline. */
void json_print(struct buf *out, const struct edn *v, unsigned indent);

/* A document that was never saved: two-space indent and a final newline. */
void json_print_document(struct buf *out, const struct edn *v);

/*
 * Reads one JSON text (with white space around it, nothing else) as EDN. max_depth counts EDN
 * nesting of the resulting value. Errors: -EBADMSG with line:column; err->truncated when the text is
 * a proper prefix of some valid document (an empty text too): a writer may still be going on. -ENOMEM.
 * The value may point into text; both text and arena must outlive it.
 */
int json_read(struct arena *arena, struct slice text, unsigned max_depth, struct edn *value,
	struct err *err);

/*
 * The rule of object keys, which is also that of file names (path.h): appends the shortest text
 * that reads back as this key, and the reverse. json_key_read fails with -EBADMSG where the text
 * is no key, such as ":two words", but does not ask whether it is the shortest.
 */
void json_key_print(struct buf *out, const struct edn *key);
int json_key_read(struct arena *arena, struct slice text, struct edn *key, struct err *err);

#endif
