/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JSON_INTERNAL_H
#define OUROFS_JSON_INTERNAL_H

#include "edn_hash.h"
#include "edn_stack.h"
#include "json.h"
#include "utf8.h"

/* What the json_*.c files share; nobody else includes this. */

/* ---- tokens: json_string.c, json_number.c ---- */

/* What a scan of one token found. Where it is not JSON_WHOLE, len is the offset of the offence. */
enum json_scan { JSON_WHOLE, JSON_CUT, JSON_BAD };

struct json_string {
	size_t len;        /* bytes with both quotes */
	bool escaped;      /* the text between the quotes is not what it stands for */
	const char *cause; /* JSON_BAD: why */
};

/* Walks the string whose opening quote is text's first byte. */
enum json_scan json_string_scan(struct slice text, struct json_string *string);
/* The text that a scanned string stands for: borrowed from it, or unescaped in the arena. -ENOMEM. */
int json_string_text(struct arena *arena, struct slice text, const struct json_string *string,
	struct slice *decoded);

/* Appends text with what JSON asks to escape escaped, without the quotes around it. */
void json_string_print(struct buf *out, struct slice text);

struct json_number {
	size_t len;
	bool integer; /* no point, no exponent */
	bool growing; /* an exponent above zero: more digits only make it larger */
	const char *cause;
};

enum json_scan json_number_scan(struct slice text, struct json_number *number);
/* An EDN_INT or EDN_BIGINT from -?(0|[1-9][0-9]*), borrowed; big: a BIGINT whatever its size. */
struct edn json_integer_value(struct slice digits, bool big);
/* A JSON number as a double. -ERANGE where it overflows, -ENOMEM. */
int json_double_value(struct slice number, double *value);
/*
 * Prints a double as a JSON number that every tool will write back with a point or an exponent.
 * false: it has no such form (1.0, 1e300, infinities), and nothing was printed.
 */
bool json_double_print(struct buf *out, double real);

enum { JSON_INTEGER_BITS = 53 }; /* what tools that count in doubles keep exactly */

/* ---- text: json_key.c ---- */

bool json_is_keyword(struct slice text);       /* edn_is_keyword, faster for what is common */
bool json_reads_as_keyword(struct slice text); /* ":a", and "':a" too */
/* What a string stands for as a value: a keyword, or the string (less the one quote it may have). */
struct edn json_text_value(struct slice text);
/* What stands before a key's own text: "", ":", "'", "#:"; NULL: the key is '#' and canonical EDN. */
const char *json_key_prefix(const struct edn *key);
/* json_key_read with bounds for the nesting of the key and, as edn_read_limited has it, for its items. */
int json_key_read_bounded(struct arena *arena, struct slice text, unsigned max_depth, size_t *room,
	struct edn *key, struct err *err);

/* ---- markers: json_marker.c ---- */

enum json_payload {
	JSON_TEXT,  /* a string, taken as it is */
	JSON_ITEMS, /* an array */
	JSON_PAIRS, /* an array of [key, value] */
	JSON_TAG,   /* [tag, value] */
	JSON_ANY,   /* the value that is tagged */
};

/* err gets no position. */
typedef int json_text_fn(struct arena *arena, struct slice text, struct edn *value,
	struct err *err);

struct json_marker {
	const char *name;   /* without the '#' */
	uint8_t payload;    /* enum json_payload */
	uint8_t type;       /* of the value it makes, enum edn_type */
	json_text_fn *read; /* JSON_TEXT only */
};

/* NULL: no marker of ours has that name. */
const struct json_marker *json_marker_find(struct slice name);
/* The marker that an object's only key is: also for tags (JSON_ANY). NULL: the key is no marker. */
const struct json_marker *json_marker_of_key(struct slice key);
/* Is text a symbol, by leniency too? */
bool json_symbol_read(struct arena *arena, struct slice text, struct edn *symbol);
/* The symbol, if it can follow a '#': the reader knows #_foo and #<foo as something else. */
bool json_tag_read(struct arena *arena, struct slice text, struct edn *symbol);
/* A value of a tag that means something to the reader (#inst, #uuid). err gets no position. */
int json_known_tag_read(struct arena *arena, struct slice tag, struct slice text, struct edn *value,
	struct err *err);
/* Can a tag be shown as a key, {"#my/tag": v}? If not, "#tag" says it. */
bool json_tag_is_plain(struct slice tag);

/* ---- the reader: json_read.c, json_stack.c, json_scalar.c, json_object.c ---- */

enum json_role { JSON_PLAIN, JSON_MAP_PAIRS, JSON_MAP_PAIR, JSON_TAG_PAIR };

/* An object or array whose end was not seen yet. */
struct json_frame {
	size_t first;                     /* where its values begin on the stack */
	size_t offset;                    /* of its bracket */
	const struct json_marker *marker; /* objects: what the only key so far would be, or NULL */
	unsigned level;                   /* EDN nesting as deep as it stands, itself included */
	unsigned height;                  /* EDN nesting of the highest value in it */
	bool object;
	bool counted; /* a scalar's marker that can't be one, so that the object counts as a level */
	uint8_t role; /* arrays: enum json_role, as part of a marker */
};

struct json_reader {
	struct arena *arena;
	struct slice text;
	size_t at;
	unsigned max_depth;
	struct err *err;
	struct edn_stack stack; /* objects: keys and values in turn */
	struct edn_hashes hashes;
	struct json_frame *frames;
	struct json_frame *first_frames;
	size_t depth;
	size_t frames_cap;
};

int json_fail(struct json_reader *r, size_t offset, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int json_fail_depth(struct json_reader *r, size_t offset);
int json_fail_memory(struct json_reader *r);
/* The text ends too early. More of it may help, unless a key stands twice already. */
int json_fail_cut(struct json_reader *r);

int json_push_value(struct json_reader *r, struct edn value);
/* The stack of frames begins in json_read's own, and moves to the heap when it grows. */
int json_push_frame(struct json_reader *r, const struct json_frame *frame);
static inline struct json_frame *json_top(struct json_reader *r)
{
	return r->depth ? &r->frames[r->depth - 1] : NULL;
}

void json_skip_space(struct json_reader *r);
int json_read_string(struct json_reader *r, struct slice *text); /* the one at r->at, unescaped */
int json_read_scalar(struct json_reader *r);                     /* pushes its value */

/* The offset of an array's item, or of an object's key. The text must be good up to there. */
size_t json_child_offset(struct slice text, size_t open, size_t index);
size_t json_member_offset(struct slice text, size_t key); /* of the value that follows a key */

/* The second key is here, so the object is no marker: what was read as its payload is set right. */
int json_object_is_map(struct json_reader *r, struct json_frame *frame);
/* Makes the value of the innermost frame, an object, from what it has on the stack. */
int json_object_close(struct json_reader *r, struct edn *value, unsigned *height);
/* Refuses the second of two equal keys in an object, which may be unfinished. */
int json_object_check_keys(struct json_reader *r, const struct json_frame *frame,
	const struct edn *items, size_t keys);

/* Which of the items is equal to an earlier one? 1 (and *found), 0 or -ENOMEM: json_unique.c */
int json_find_duplicate(struct edn_hashes *hashes, const struct edn *items, size_t count,
	size_t stride, size_t *found);

#endif
