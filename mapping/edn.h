/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_H
#define OUROFS_EDN_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "hash.h"

/*
 * EDN: values, the reader, the scanner, the printer.
 *
 * The verdict is clojure.edn/read-string's (Clojure 1.11, no options; unknown tags are kept, as a
 * :default would) on everything, with one leniency: keywords and symbols that only their
 * characters make unreadable (":a/1") are read and flagged. Unlike Clojure, no input overflows a
 * stack: nesting is bounded by max_depth, and nothing here recurses deeper than that bound.
 *
 * Where Clojure loses or can't say something, ourofs doesn't follow:
 * - malformed UTF-8 is an error (Clojure reads U+FFFD, and the bytes are gone);
 * - a lone surrogate in a string is printed as an escape, where pr-str writes a question mark; an instant that
 *   pr-str prints unreadably (year 10000, year 0) is printed with an offset, a decimal likewise (10E+2147483647M);
 * - in #:ns{}, a symbol _/nil or _/-1 is an error (its print would be no symbol), and :_/b/c is :b/c;
 * - maps with NaN among their keys are equal to maps like them, so a set can't hold two;
 * - ratios, and integers in other bases than ten, have at most 4096 digits (arithmetic is quadratic).
 * Two tagged values are equal when tag and value are.
 *
 * Values are immutable, live in the arena given to the reader, and may point into the text that was
 * read: arena and text must outlive them. Any thread may read them.
 */
enum edn_type {
	EDN_NIL,
	EDN_BOOL,    /* integer: 0 or 1 */
	EDN_INT,     /* integer: a Clojure Long */
	EDN_BIGINT,  /* text: canonical decimal digits with sign, no N: a clojure.lang.BigInt */
	EDN_DOUBLE,  /* real */
	EDN_DECIMAL, /* text: as BigDecimal prints it, without the M ("1.50", "1E+50") */
	EDN_RATIO,   /* text: "22/7", reduced, the sign in front */
	EDN_CHAR,    /* integer: one UTF-16 unit */
	EDN_STRING, /* text: UTF-8; a lone surrogate (from \uD800) is kept as its three WTF-8 bytes */
	EDN_SYMBOL,  /* text: "foo/bar" */
	EDN_KEYWORD, /* text without the colon: "user/id" */
	EDN_LIST,    /* items[count] */
	EDN_VECTOR,  /* items[count] */
	EDN_MAP,     /* items[2 * count]: key, value, key, value ... in the order read */
	EDN_SET,     /* items[count] in the order read */
	EDN_TAGGED, /* items[2]: the tag as a symbol, the value. #inst and #uuid hold their string in
		      * the form in which pr-str prints it (millisecond, -00:00; lower case) */
};

struct edn {
	uint8_t type;    /* enum edn_type */
	uint8_t lenient; /* this very token (not what is below) is one that clojure.edn can't read */
	uint32_t count;  /* bytes of text, items, or pairs of a map */
	union {
		int64_t integer;
		double real;
		const char *text;
		const struct edn *items;
	};
};

/* Length of items[], 0 for what has none. */
static inline size_t edn_item_count(const struct edn *v)
{
	if (v->type < EDN_LIST)
		return 0;
	if (v->type == EDN_TAGGED)
		return 2;
	return v->type == EDN_MAP ? (size_t)v->count * 2 : v->count;
}

enum { EDN_LOAD_DEPTH = 1024, EDN_SAVE_DEPTH = 512 };

static inline struct slice edn_text(const struct edn *v)
{
	return (struct slice){v->text, v->count};
}

/* ---- reading: edn_read.c ---- */

/*
 * Reads the first form of text. end (may be NULL) gets the offset behind it; what follows is not
 * looked at (as clojure.edn/read-string does). Errors: -EBADMSG with line and column (also for text
 * without any form), -ENOMEM, -EOVERFLOW (a text of 4 GiB or more).
 */
int edn_read(struct arena *arena, struct slice text, unsigned max_depth, struct edn *value,
	size_t *end, struct err *err);
/* The same with at most *room items in all of its collections, of which it leaves what it did not need. -EFBIG. */
int edn_read_limited(struct arena *arena, struct slice text, unsigned max_depth, size_t *room,
	struct edn *value, size_t *end, struct err *err);

/*
 * Where the first form ends: the same verdict without a value, in little memory however large it is. hash: NULL, or for
 * its edn_hash.
 */
int edn_skip(struct slice text, unsigned max_depth, size_t *end, uint64_t *hash);

/* Is the whole of text, behind a colon, one keyword token for clojure.edn (not by leniency)? */
bool edn_is_keyword(struct slice text);
/* The same with the leniency: one token, whatever its characters (no whitespace, no terminator). */
bool edn_is_lenient_keyword(struct slice text);
/* Is the whole of text one symbol token for clojure.edn (nil, true and false are none)? */
bool edn_is_symbol(struct slice text);

/* ---- equality: edn_value.c ---- */

/*
 * Two equalities. edn_identical is type-exact: 1 is not 1N, a list is not a vector, 0.0 is not
 * -0.0; maps and sets without order, NaN equal to itself, and it has a stable hash that is written
 * to disk. edn_equal is Clojure's =, by which keys of maps are duplicates: 1 = 1N, [1] = (1), 0.0 = -0.0,
 * 1.0M = 1.00M.
 */
bool edn_identical(const struct edn *a, const struct edn *b);
struct hash128 edn_identity(const struct edn *v);
bool edn_equal(const struct edn *a, const struct edn *b);
uint64_t edn_hash(const struct edn *v); /* equal values, equal hashes */

/* The value of a key in a map (by edn_equal), or NULL. Looks at every entry. */
const struct edn *edn_map_get(const struct edn *map, const struct edn *key);

/*
 * The first thing anywhere in v that would make clojure.edn/read-string (without :default) fail on the
 * printed text: a lenient token, a tag other than inst and uuid, a lone surrogate as a character, or
 * nesting deeper than max_depth. 0, or -EBADMSG with the cause.
 */
int edn_check_readable(const struct edn *v, unsigned max_depth, struct err *err); /* sets err->at */

/*
 * What an #inst's string (as it is in a value) says: milliseconds since 1970, as java.util.Date counts. False
 * for what is none.
 */
bool edn_instant_ms(struct slice text, int64_t *ms); /* edn_instant.c */

/* ---- printing: edn_print.c ---- */

/*
 * As pr-str prints (without #:ns{}): maps with ", " between entries and in the order of the value.
 * edn_print_canonical sorts maps and sets by the printed bytes of their keys and items, so that
 * identical values have one text: it is how keys are named and compared everywhere in ourofs.
 */
void edn_print(struct buf *out, const struct edn *v);
void edn_print_canonical(struct buf *out, const struct edn *v);
/*
 * A key that is so large is named by its text as it stands, not in canonical form, where it is more than a token; and
 * it equals what has its edn_hash.
 */
enum { EDN_KEY_READ_MAX = 1 << 20 };
static inline bool edn_key_is_text(struct slice key)
{
	return key.len > EDN_KEY_READ_MAX && memchr("[({#", key.ptr[0], 4);
}
/* Double.toString's layout, shortest digits that read back: "1.0", "1.5E300", "##NaN". */
void edn_print_double(struct buf *out, double real);

/* ---- scanning: edn_scan.c ---- */

/*
 * Walks the text of one map without building values of what is in it: finds where each key and
 * value stands, and gives clojure.edn's whole verdict on the text on the way (duplicate keys and
 * elements at every level included). This is what mounts a memory.edn: >= 400 MB/s.
 *
 * The text may begin with whitespace, comments and discards. The pieces between entries (white
 * space, comments, discards, metadata of a key) belong to no entry: the caller keeps them as gaps.
 */
struct edn_span {
	size_t offset;
	size_t len;
};

struct edn_map_entry {
	struct edn_span key; /* as written: inside #:ns{..} still without its namespace */
	struct edn_span value;
	uint32_t value_depth; /* nesting of the value: 0 for a scalar, 1 for [] */
	uint8_t value_type;   /* enum edn_type; a value behind ^meta has the type of what follows */
	bool lenient;         /* some token in key or value is read by leniency */
	bool tagged;          /* some tag in key or value is neither inst nor uuid */
};

struct edn_map_shape {
	struct slice prefix; /* of a #:ns{..} map its ns; empty for a plain map */
	size_t open;         /* offset behind the '{' */
	size_t close;        /* offset of the matching '}' */
	size_t end;          /* offset behind the form (= close + 1) */
	size_t count;        /* entries */
	bool lenient; /* some token anywhere in the form, discards too, is read by leniency */
};

/* Called once an entry, in order. A negative return stops the scan, which returns it. */
typedef int edn_entry_fn(void *context, const struct edn_map_entry *entry);

/*
 * -EBADMSG with line and column when the text is not readable or its first form is no map ("the top
 * level is a vector, not a map"). base_depth: how deep the map itself stands (0 for the file).
 */
int edn_scan_map(struct slice text, unsigned base_depth, unsigned max_depth, edn_entry_fn *fn,
	void *context, struct edn_map_shape *shape, struct err *err);

/* ---- scanning the two halves of a large map at once: edn_tail.c ---- */

/*
 * The second half begins where it looks like the end of an entry, and is scanned as if it were one. It counts only if
 * the scan from the beginning ends an entry at that very place, and if nothing is wrong with it; else that scan goes
 * on by itself, to the same result. So what is found, and what is said of an error, never depends on the guess.
 *
 *	struct edn_join join = {.wait = ..., .context = ...};
 *	if (!edn_join_guess(&join, text)) edn_scan_map(...)
 *	another thread:  tail = edn_tail_scan(text, &join, depth, max_depth, fn, for_the_second_half);
 *	this thread:     edn_scan_map_joined(text, depth, max_depth, fn, for_the_first_half, &join, &shape, err);
 *	both have ended: edn_tail_free(tail); where !join.joined, for_the_first_half got all there is
 */
struct edn_tail;
struct edn_join {
	size_t from;   /* an offset about the middle */
	uint64_t seed; /* of the keys' hashes, which both compare */
	/* Waits for the other thread, once at most: the tail (the caller's to free), or NULL where there is none. */
	const struct edn_tail *(*wait)(void *context);
	void *context;
	bool joined;
};

/* Sets from and seed. False: there is no such place. */
bool edn_join_guess(struct edn_join *join, struct slice text);
/* NULL: it is no second half, or can't be read, or memory is out, or fn failed. */
struct edn_tail *edn_tail_scan(struct slice text, const struct edn_join *join, unsigned base_depth,
	unsigned max_depth, edn_entry_fn *fn, void *context);
void edn_tail_free(struct edn_tail *tail);
/* join may be NULL. */
int edn_scan_map_joined(struct slice text, unsigned base_depth, unsigned max_depth,
	edn_entry_fn *fn, void *context, struct edn_join *join, struct edn_map_shape *shape,
	struct err *err);

#endif
