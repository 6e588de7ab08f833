/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_TOKEN_H
#define OUROFS_EDN_TOKEN_H

#include "edn.h"
#include "utf8.h"

/*
 * The tokens of EDN, for the reader and the scanner alike, so that both give one verdict. Internal to
 * the edn_*.c files, but for what the payloads of JSON's markers need.
 *
 * Every function takes `at`, the place where a token begins, and moves it behind the token. Errors are
 * -EBADMSG with line and column, filled in by edn_fail and edn_fail_cut.
 */
struct edn_source {
	const char *start;
	const char *end;
	struct err *err;
};

/* Classes of bytes, and so what a token contains: the OR over its bytes. */
enum edn_class {
	EDN_C_SPACE = 1, /* white space and the comma */
	EDN_C_END = 2,   /* ends a token: white space or a macro character */
	EDN_C_HASH = 4,  /* #: ends a number, but no other token */
	EDN_C_BAD = 8,   /* @ ` ~: what a token may hold only by leniency */
	EDN_C_HIGH = 16, /* not ASCII */
	EDN_C_SLASH = 32,
	EDN_C_COLON = 64,
	EDN_C_DIGIT = 128,
};
extern const uint8_t edn_class[256];

static inline uint8_t edn_class_of(const char *at)
{
	return edn_class[(unsigned char)*at];
}

/* Errors; `at` is where. The second one says that more text could mend it. Both return -EBADMSG. */
int edn_fail(const struct edn_source *src, const char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int edn_fail_cut(const struct edn_source *src, const char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* For a wrong token [at, end): cut short where it touches the end of the text. */
int edn_fail_token(const struct edn_source *src, const char *at, const char *end, const char *what);

int edn_fail_utf8(const struct edn_source *src, const char *at);

/* Length of the well-formed UTF-8 sequence at `at` (1 to 4), 0 when it is malformed or cut. */
static inline unsigned edn_utf8_len(const char *at, const char *end)
{
	int len = utf8_sequence(slice_of(at, (size_t)(end - at)));

	return len > 0 ? (unsigned)len : 0;
}

/* The code point of the well-formed sequence at `at`. */
static inline uint32_t edn_utf8_point(const char *at)
{
	size_t len;

	return utf8_decode(at, &len);
}

/* ---- edn_unicode.c ---- */

/* Is this code point of the BMP white space / a digit for Java? The digit's value, or -1. */
bool edn_is_space(uint32_t code);
int edn_digit(uint32_t code, unsigned base);

/* Past white space, commas and comments. */
int edn_skip_blank(const struct edn_source *src, const char **at);
/* edn_skip_token from where a character is not ASCII; *seen: the classes met so far. */
int edn_skip_any_token(const struct edn_source *src, const char **at, uint8_t stop, uint8_t *seen);

/* Past what ends at a byte of class `stop` or at white space; *seen: the classes met. */
static inline int edn_skip_token(const struct edn_source *src, const char **at, uint8_t stop,
	uint8_t *seen)
{
	const char *p = *at;
	uint8_t all = 0;

	for (; p < src->end; p++) {
		uint8_t class = edn_class_of(p);

		if (class & (stop | EDN_C_HIGH))
			break;
		all |= class;
	}
	*at = p;
	*seen = all;
	if (p == src->end || (edn_class_of(p) & stop))
		return 0;
	return edn_skip_any_token(src, at, stop, seen);
}

/* Does a number begin here? Judges a sign by what follows it. */
bool edn_starts_number(const char *at, const char *end);

/* ---- edn_word.c ---- */

/* Is this text (without a keyword's colon) one for clojure.edn? seen: its classes; none is EDN_C_END. */
bool edn_word_readable(enum edn_type type, struct slice text, uint8_t seen);
/* Keywords, symbols, nil, true, false. */
int edn_read_word(const struct edn_source *src, const char **at, struct edn *value);
/* ---- edn_string.c ---- */

/* Past a string, *escaped: it holds a backslash. `at` is at the opening quote. */
int edn_skip_string(const struct edn_source *src, const char **at, bool *escaped);
int edn_read_string(const struct edn_source *src, const char **at, struct arena *arena,
	struct edn *value);
int edn_read_char(const struct edn_source *src, const char **at, struct edn *value);

/* ---- edn_number.c ---- */

int edn_read_number(const struct edn_source *src, const char **at, struct arena *arena,
	struct edn *value);

/* ---- edn_decimal.c ---- */

/* digits[.digits][e digits] as BigDecimal.toString prints it. -EBADMSG: an exponent out of range. */
int edn_decimal(struct arena *arena, struct slice text, bool negative, struct edn *value);

/* ---- edn_instant.c ---- */

/* The value of #inst and #uuid in the form of pr-str; `at` is where errors point. */
int edn_read_instant(const struct edn_source *src, const char *at, struct arena *arena,
	const struct edn *from, struct edn *value);
int edn_read_uuid(const struct edn_source *src, const char *at, struct arena *arena,
	const struct edn *from, struct edn *value);

#endif
