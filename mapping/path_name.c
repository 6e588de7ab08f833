/* SPDX-License-Identifier: MIT */
#include "path_name.h"

#include <errno.h>

#include "utf8.h"

const struct slice PATH_SUFFIX = {".json", 5};

enum { ESCAPE_LEN = 3, HASH_DIGITS = 16, CLOSE_LEN = 2 + HASH_DIGITS /* "%~" and the hash */ };

static const char DIGITS[] = "0123456789ABCDEF";

/* Bytes that stand for themselves wherever they are in a name: nearly all. Without a branch. */
static bool is_plain(unsigned char c)
{
	return (c >= ' ') & (c != '%') & (c != '.') & (c != '/') & (c != 0x7f);
}

static bool all_plain(struct slice text)
{
	unsigned char other = 0;

	for (size_t i = 0; i < text.len; i++)
		other |= !is_plain((unsigned char)text.ptr[i]);
	return !other;
}

static bool all_ascii(struct slice text)
{
	unsigned char seen = 0;

	for (size_t i = 0; i < text.len; i++)
		seen |= (unsigned char)text.ptr[i];
	return seen < 0x80;
}

/* Is the byte at i of text an escape in every name? */
static bool is_escaped(struct slice text, size_t i)
{
	return !is_plain((unsigned char)text.ptr[i]) && (text.ptr[i] != '.' || i == 0);
}

/* Where the '.' of a final ".json" stands that a directory escapes, else text.len. */
static size_t suffix_dot(struct slice text, bool directory)
{
	return directory && slice_ends(text, PATH_SUFFIX) ? text.len - PATH_SUFFIX.len : text.len;
}

static void put_escape(char *to, unsigned char c)
{
	to[0] = '%';
	to[1] = DIGITS[c >> 4];
	to[2] = DIGITS[c & 15];
}

/* Spells the text from start on, in place: counts first, then moves from the end. */
static void escape(struct buf *path, size_t start, bool directory)
{
	struct slice text = slice_of(path->ptr + start, path->len - start);
	size_t dot = suffix_dot(text, directory);
	size_t escapes = 0;
	char *to;

	if (all_plain(text))
		return;
	for (size_t i = 0; i < text.len; i++)
		escapes += is_escaped(text, i) || i == dot;
	if (escapes == 0)
		return;
	if (!buf_reserve(path, escapes * (ESCAPE_LEN - 1)))
		return;
	text.ptr = path->ptr + start;
	path->len += escapes * (ESCAPE_LEN - 1);
	to = path->ptr + path->len;
	for (size_t i = text.len; i-- > 0;) {
		if (is_escaped(text, i) || i == dot) {
			to -= ESCAPE_LEN;
			put_escape(to, (unsigned char)text.ptr[i]);
		} else {
			*--to = text.ptr[i];
		}
	}
}

/* The longest front of name, of at most most bytes, that ends between characters and escapes. */
static size_t cut_len(struct slice name, size_t most)
{
	size_t len = most;

	while (len > 0 && utf8_is_continuation(name.ptr[len]))
		len--;
	for (size_t back = 1; back < ESCAPE_LEN && back <= len; back++)
		if (name.ptr[len - back] == '%')
			return len - back;
	return len;
}

static void cut(struct buf *path, size_t start, size_t most)
{
	struct slice name = slice_of(path->ptr + start, path->len - start);
	uint64_t hash;

	if (name.len <= most)
		return;
	hash = hash64(name.ptr, name.len, 0);
	path->len = start + cut_len(name, most - CLOSE_LEN);
	buf_add_format(path, "%%~%016llx", (unsigned long long)hash);
}

void path_name_finish_file(struct buf *path, size_t start)
{
	if (path->failed)
		return;
	escape(path, start, false);
	if (path->failed)
		return;
	cut(path, start, PATH_NAME_MAX - PATH_SUFFIX.len);
	buf_add_slice(path, PATH_SUFFIX);
}

void path_name_add_file(struct buf *path, struct slice text)
{
	size_t start = path->len;

	buf_add_slice(path, text);
	path_name_finish_file(path, start);
}

void path_name_add_directory(struct buf *path, struct slice segment)
{
	size_t start = path->len;

	buf_add_slice(path, segment);
	if (path->failed)
		return;
	escape(path, start, true);
	if (!path->failed)
		cut(path, start, PATH_NAME_MAX);
}

static int hex_value(char c)
{
	const char *at = c ? strchr(DIGITS, c) : NULL;

	return at ? (int)(at - DIGITS) : -1;
}

/* The byte that an escape at the front of rest means, or -1. */
static int read_escape(struct slice rest)
{
	int high, low;

	if (rest.len < ESCAPE_LEN)
		return -1;
	high = hex_value(rest.ptr[1]);
	low = hex_value(rest.ptr[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Must c, decoded as the text's byte at i, be an escape where rest is what stands behind it? */
static bool must_escape(unsigned char c, size_t i, bool directory, struct slice rest)
{
	if (c == '.')
		return i == 0 || (directory && slice_equal(rest, SLICE_LITERAL("json")));
	return !is_plain(c);
}

/* Reading is exact, so that a name is the one that its text is spelled with, or none at all. */
static int read_name(struct slice name, bool directory, char *to, size_t *to_len,
	struct err *reason)
{
	size_t len = 0, next;

	if (all_plain(name)) {
		memcpy(to, name.ptr, name.len);
		*to_len = name.len;
		return 0;
	}
	for (size_t i = 0; i < name.len; i = next) {
		bool escaped = name.ptr[i] == '%';
		int c = (unsigned char)name.ptr[i];

		next = i + (escaped ? ESCAPE_LEN : 1);
		if (escaped)
			c = read_escape(slice_of(name.ptr + i, name.len - i));
		if (c < 0)
			return err_set(reason, -EINVAL,
				"%% in a name takes two upper-case hex digits (alone it is %%25)");
		if (escaped != must_escape((unsigned char)c, len, directory,
				       slice_of(name.ptr + next, name.len - next)))
			return err_set(reason, -EINVAL,
				escaped ? "%%%02X needs no escape in this name"
					: "%%%02X must be escaped in this name",
				(unsigned)c);
		to[len++] = (char)c;
	}
	*to_len = len;
	return 0;
}

static int read_valid(struct slice name, bool directory, char *to, size_t *len, struct err *reason)
{
	if (name.len > PATH_NAME_MAX)
		return err_set(reason, -EINVAL, "the name is longer than %d bytes", PATH_NAME_MAX);
	if (!all_ascii(name) && !utf8_is_valid(name))
		return err_set(reason, -EINVAL, "the name is not UTF-8");
	return read_name(name, directory, to, len, reason);
}

int path_name_read_file(struct slice stem, char *to, size_t *len, struct err *reason)
{
	return read_valid(stem, false, to, len, reason);
}

int path_name_read_directory(struct slice name, char *to, size_t *len, struct err *reason)
{
	int ret = read_valid(name, true, to, len, reason);

	if (ret == 0 && memchr(to, '/', *len))
		return err_set(reason, -EINVAL, "a directory's name holds no %%2F");
	return ret;
}

/* As cut() leaves it: full but for what the boundaries of a character or an escape take. */
bool path_name_is_cut(struct slice name)
{
	struct slice stem = name;
	char text[PATH_NAME_MAX];
	size_t len;

	if (path_is_document_name(name))
		stem.len -= PATH_SUFFIX.len;
	if (name.len > PATH_NAME_MAX || name.len < PATH_NAME_MAX - UTF8_MAX_BYTES + 1)
		return false;
	stem.len -= CLOSE_LEN;
	if (memcmp(stem.ptr + stem.len, "%~", 2) != 0)
		return false;
	for (size_t i = 2; i < CLOSE_LEN; i++)
		if (!memchr("0123456789abcdef", stem.ptr[stem.len + i], HASH_DIGITS))
			return false;
	/* The front is a front of some file's spelling; a directory's differs only in its end. */
	return read_valid(stem, false, text, &len, NULL) == 0;
}
