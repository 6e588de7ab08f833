/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_BUF_H
#define OUROFS_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * struct slice borrows bytes, struct buf owns them. Bytes, not strings: NUL is a byte like others.
 *
 * Appending to a buf can fail for lack of memory. The failure sticks: the buf keeps what it had,
 * later appends do nothing, and the writer of a long text asks once at the end:
 *
 *	struct buf out = BUF_INIT;
 *	buf_add_str(&out, "{");
 *	...
 *	ret = buf_error(&out);		// 0 or -ENOMEM
 *	buf_release(&out);
 *
 * One that is to hold at most so many bytes begins as {.max = bytes}: what passes that is a failure likewise, -EFBIG.
 */
struct slice {
	const char *ptr;
	size_t len;
};

struct buf {
	char *ptr;
	size_t len;
	size_t cap;
	size_t max; /* 0: any number */
	bool failed;
	bool full; /* that is why */
};

#define BUF_INIT            ((struct buf){0})
#define SLICE_LITERAL(text) ((struct slice){(text), sizeof(text) - 1})

static inline struct slice slice_of(const void *ptr, size_t len)
{
	return (struct slice){(const char *)ptr, len};
}

static inline struct slice slice_str(const char *text)
{
	return (struct slice){text, strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len &&
	       (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool slice_ends(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len &&
	       (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

/* Cuts the first off strings that each have a NUL behind, which the last may lack. With rest not empty. */
static inline struct slice slice_cut_string(struct slice *rest)
{
	size_t len = strnlen(rest->ptr, rest->len);
	size_t cut = len < rest->len ? len + 1 : len;
	struct slice string = slice_of(rest->ptr, len);

	*rest = slice_of(rest->ptr + cut, rest->len - cut);
	return string;
}

/* Order by bytes, a prefix before what it begins: <0, 0, >0. */
int slice_compare(struct slice a, struct slice b);
/* Without the blanks (space, tab, CR, LF) around it. */
struct slice slice_trim(struct slice s);

void buf_release(struct buf *buf);
static inline void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->failed = buf->full = false;
}
static inline struct slice buf_slice(const struct buf *buf)
{
	return (struct slice){buf->ptr, buf->len};
}
int buf_error(const struct buf *buf);

/* Room for more bytes behind len. Returns where they go, or NULL (and the failure sticks). */
char *buf_reserve(struct buf *buf, size_t more);
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_slice(struct buf *buf, struct slice s);
/* In front of what is there. */
void buf_insert(struct buf *buf, struct slice s);
void buf_add_str(struct buf *buf, const char *text);
void buf_add_integer(struct buf *buf, int64_t integer);
/* A UTF-16 unit as the escape \uXXXX, with these sixteen digits. */
void buf_add_unit(struct buf *buf, unsigned unit, const char *digits);
void buf_add_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void buf_add_char(struct buf *buf, char c)
{
	if (buf->len < buf->cap && !buf->failed)
		buf->ptr[buf->len++] = c;
	else
		buf_add(buf, &c, 1);
}
/*
 * A NUL behind the last byte, not counted in len: ptr is a C string until the next append. NULL where any of it is
 * missing for lack of memory.
 */
const char *buf_cstr(struct buf *buf);

#endif
