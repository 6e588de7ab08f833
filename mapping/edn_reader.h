/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_READER_H
#define OUROFS_EDN_READER_H

#include "edn_many.h"
#include "edn_stack.h"
#include "edn_token.h"

/*
 * The reader below edn_read, which the scanner calls for keys that it can't compare as text. Internal to the
 * edn_*.c files. Recursion is bounded by max_depth: collections, tags, discards, metadata, #: and ## each
 * count one level.
 */
struct edn_reader {
	struct edn_source src;
	struct arena *arena;
	unsigned depth;
	unsigned max_depth;
	/*
	 * Only the verdict is wanted, of something that may be large: no items are built, and what has some is dropped, as
	 * struct edn_key has it.
	 */
	bool drops;
	unsigned level;   /* of depth, what is of the value: no discards, no metadata */
	unsigned deepest; /* how deep a dropped one was */
	uint64_t seed;
	bool lenient;           /* some token was read by leniency */
	bool tagged;            /* some tag was neither inst nor uuid */
	struct edn_stack stack; /* the forms of the collections that are still open */
	struct edn_key *keys;   /* keys and elements of those that hold none twice */
	size_t count;           /* of the keys */
	size_t cap;
	struct edn_unique unique;
};

void edn_reader_init(struct edn_reader *r, struct slice text, unsigned max_depth, struct err *err);
void edn_reader_release(struct edn_reader *r);

/*
 * Reads a form from *at on, past white space, comments and discards. form->offset is where it begins,
 * behind its metadata; form->hash is only set where hashed is true.
 */
int edn_reader_form(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form);

/* To where a form begins, or a closing delimiter, or the end of the text. */
int edn_skip_to_form(struct edn_reader *r, const char **at);

int edn_reader_enter(struct edn_reader *r, const char *at);
static inline void edn_reader_leave(struct edn_reader *r)
{
	r->depth--;
}

/* The same of what is a level of the value, too. */
int edn_reader_descend(struct edn_reader *r, const char *at);
static inline void edn_reader_ascend(struct edn_reader *r)
{
	r->level--;
	edn_reader_leave(r);
}

/* The forms that begin with # or ^ : edn_dispatch.c */
int edn_read_dispatch(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form);
int edn_read_meta(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form);

/* May this hold metadata? May it be metadata? */
bool edn_takes_meta(uint8_t type);
bool edn_is_meta(uint8_t type);

/* The tags that clojure.edn reads without being told how. */
static inline bool edn_is_known_tag(struct slice tag)
{
	return slice_equal(tag, SLICE_LITERAL("inst")) || slice_equal(tag, SLICE_LITERAL("uuid"));
}

/* Does a tag begin with this character, the one behind a #? */
bool edn_starts_tag(const char *at, const char *end);

/* The symbol behind #:, with `at` at the colon; then `at` is at the brace. */
int edn_read_prefix(struct edn_reader *r, const char **at, struct slice *prefix);
/* What a key of #:prefix{} becomes, its flag for leniency too. 1: a symbol that no text can stand for. */
int edn_resolve_key(struct arena *arena, struct slice prefix, struct edn *key);

/* { to }, [ to ] and so on, `at` at the opening one. prefix: of a map, or empty. edn_read.c */
int edn_read_collection(struct edn_reader *r, const char **at, enum edn_type type,
	struct slice prefix, bool hashed, struct edn_key *form);

/* Onto r->keys. */
int edn_reader_grow(struct edn_reader *r);
static inline int edn_reader_push(struct edn_reader *r, const struct edn_key *item)
{
	int ret = r->count == r->cap ? edn_reader_grow(r) : 0;

	if (!ret)
		r->keys[r->count++] = *item;
	return ret;
}

/* The first of those from `from` on that equals one before it: 1 and where it stands; 0, -ENOMEM. */
int edn_reader_find_duplicate(struct edn_reader *r, size_t from, uint32_t *second);

/* Errors about the collection that opens at `open`, found at `at`. */
int edn_fail_closing(const struct edn_source *src, const char *at, const char *open, uint8_t type);

/* The second of two equal keys or elements is at `at`. */
int edn_fail_duplicate(const struct edn_source *src, const char *at, uint8_t type);
int edn_fail_meta(const struct edn_source *src, const char *at, uint8_t type);
int edn_fail_takes_no_meta(const struct edn_source *src, const char *at, uint8_t type);

/* "list", and what stands in front of it: "a ", "an " or nothing. */
const char *edn_type_name(uint8_t type);
const char *edn_type_article(uint8_t type);

#endif
