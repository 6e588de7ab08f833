/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JSON_H
#define OUROFS_JSON_H

#include "edn.h"

/*
 * The lossless JSON of documents: EDN -> JSON -> EDN is the identity for every EDN value, without
 * any context but the text itself. ourofs(5) has the table. RFC 8259, strictly: all it forbids is
 * refused, all it allows is accepted; beyond it, duplicate keys (by Clojure's =), malformed markers,
 * numbers that overflow a double, invalid UTF-8 and nesting past max_depth are errors with line and column.
 *
 * What the table leaves open:
 *
 * Numbers. `1e-400` is 0.0 (only overflow is an error), `-0` is -0.0. A BIGINT always has its N:
 *	{"#int": "99999999999999999999N"}; without it such a number is read as the same BIGINT.
 *	"#float" holds a JSON number, or Inf, -Inf, NaN; it is printed as pr-str has it ("1.0E300").
 *	Doubles from 1e32 on with more than one digit (1.5e300) are plain numbers, as every tool
 *	writes them with an exponent; 1.5e15 is a "#float", as jq would write 1500000000000000.
 * Strings and keywords. A string that Clojure could not read as a keyword after its colon (":a/1",
 *	":smile:") is a string and prints as it is. "#kw" takes any one keyword token; it is
 *	printed for those that only leniency reads.
 * Payloads. A payload that is a string is taken as it stands: no ' and no : means anything in it. It holds
 *	the text of one EDN token without blanks around it. "#char" is no surrogate. "#ratio" must be one ("4/2"
 *	is not). "#inst" and "#uuid" take what the EDN reader takes, and print its canonical form.
 * Tags. A symbol that can't follow a # in EDN ("#_foo" is a discard) is refused as a tag; a tag
 *	that only leniency reads is {"#tag": ["a/1", v]}. A map of one such symbol is a "#map".
 * Keys. Behind '#' any one EDN form will do, canonical or not. A lenient keyword is "#:a/1".
 * Lone surrogates are \ud800 in JSON and WTF-8 in values; no keyword or symbol holds one.
 */

/*
 * Appends v as compact JSON (indent 0) or indented by so many spaces a level, laid out as jq and Python
 * do; no final newline. Recurses as deep as v nests.
 */
void json_print(struct buf *out, const struct edn *v, unsigned indent);

/*
 * A document that was never saved: two-space indent and a final newline. Not so where the indentation would take
 * JSON_INDENTATION_MAX bytes, which is in proportion to the depth of each value, or where it does not fit out->max: it is
 * compact then, and a final newline.
 */
enum { JSON_INDENTATION_MAX = 16 << 20 };
void json_print_document(struct buf *out, const struct edn *v);

/*
 * Reads one JSON text (with white space around it, nothing else) as EDN. max_depth counts EDN
 * nesting of the resulting value. Errors: -EBADMSG with line:column; err->truncated when the text is
 * a proper prefix of some valid document (an empty text too): a writer may still be going on. -ENOMEM,
 * -EOVERFLOW (a text of 4 GiB or more). value is set on success only.
 * The value may point into text; both text and arena must outlive it.
 */
int json_read(struct arena *arena, struct slice text, unsigned max_depth, struct edn *value,
	struct err *err);
/* The same of a document with at most max_values items, keys and members in all that it holds. -EFBIG. */
int json_read_limited(struct arena *arena, struct slice text, unsigned max_depth, size_t max_values,
	struct edn *value, struct err *err);

/*
 * The rule of object keys, which is also that of file names (path.h): appends the shortest text
 * that reads back as this key, and the reverse. json_key_read fails with -EBADMSG where the text
 * is no key, such as ":two words", but does not ask whether it is the shortest. The key may point
 * into text. Errors have no position.
 */
void json_key_print(struct buf *out, const struct edn *key);
int json_key_read(struct arena *arena, struct slice text, struct edn *key, struct err *err);

#endif
