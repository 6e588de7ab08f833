/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ERR_H
#define OUROFS_ERR_H

#include <stdbool.h>

/*
 * The reason beside a negative errno.
 *
 * A function that can fail returns 0 or a negative errno and takes an optional trailing
 * `struct err *` (NULL: the caller does not care why). The text is lowercase, has no newline and
 * names the cause; who prints it adds the file:
 *
 *	if (!is_map(v))
 *		return err_set(err, -EBADMSG, "the top level is a %s, not a map", name);
 *
 * line and column are 1-based and count characters (code points), not bytes; line 0 means that the
 * error has no position. truncated says that the text ended too early: more text could mend it.
 */
enum {
	ERR_TEXT = 512,                /* bytes, the NUL included */
	ERR_DESCRIBED = ERR_TEXT + 24, /* what err_describe makes of it: two numbers more */
};

struct err {
	int code; /* the negative errno, 0 before any error */
	unsigned line;
	unsigned column;
	bool truncated;
	const char
		*at; /* the words at fault, where the text they were read from is known; borrowed */
	char text[ERR_TEXT];
};

/*
 * Both fill err (if not NULL) and return code, so: return err_set(...). A text that is too long loses
 * its middle: with a long path in it, its cause stands at the end.
 */
int err_set(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int err_set_at(struct err *err, int code, unsigned line, unsigned column, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* "line:column: text", or just the text where there is no position. Returns buffer. */
const char *err_describe(const struct err *err, char *buffer, unsigned size);

#endif
