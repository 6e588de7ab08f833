/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Not strchr: a NUL is no blank. */
static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
	while (s.len && is_blank(s.ptr[0]))
		s = slice_of(s.ptr + 1, s.len - 1);
	while (s.len && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

int slice_compare(struct slice a, struct slice b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.ptr, b.ptr, common) : 0;

	if (order)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

void buf_release(struct buf *buf)
{
	if (!buf)
		return;
	free(buf->ptr);
	*buf = BUF_INIT;
}

int buf_error(const struct buf *buf)
{
	return !buf->failed ? 0 : buf->full ? -EFBIG : -ENOMEM;
}

char *buf_reserve(struct buf *buf, size_t more)
{
	size_t cap;
	char *grown;

	if (buf->failed)
		return NULL;
	if (buf->ptr && more <= buf->cap - buf->len)
		return buf->ptr + buf->len;
	buf->full = buf->max && more > buf->max - buf->len;
	if (buf->full || more > SIZE_MAX / 4 - buf->len)
		goto failed;
	cap = buf->cap + buf->cap / 2;
	if (cap < buf->len + more)
		cap = buf->len + more;
	if (cap < 64)
		cap = 64;
	if (buf->max && cap > buf->max)
		cap = buf->max;
	grown = realloc(buf->ptr, cap);
	if (!grown)
		goto failed;
	buf->ptr = grown;
	buf->cap = cap;
	return buf->ptr + buf->len;
failed:
	buf->failed = true;
	return NULL;
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
	char *to = buf_reserve(buf, len);

	if (!to || !len)
		return;
	memcpy(to, bytes, len);
	buf->len += len;
}

void buf_add_slice(struct buf *buf, struct slice s)
{
	buf_add(buf, s.ptr, s.len);
}

void buf_insert(struct buf *buf, struct slice s)
{
	if (!s.len || !buf_reserve(buf, s.len))
		return;
	memmove(buf->ptr + s.len, buf->ptr, buf->len);
	memcpy(buf->ptr, s.ptr, s.len);
	buf->len += s.len;
}

void buf_add_str(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_add_integer(struct buf *buf, int64_t integer)
{
	char text[20];
	char *at = text + sizeof(text);
	uint64_t left = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;

	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (integer < 0)
		*--at = '-';
	buf_add(buf, at, (size_t)(text + sizeof(text) - at));
}

void buf_add_unit(struct buf *buf, unsigned unit, const char *digits)
{
	char text[] = {'\\', 'u', digits[unit >> 12 & 15], digits[unit >> 8 & 15],
		digits[unit >> 4 & 15], digits[unit & 15]};

	buf_add(buf, text, sizeof(text));
}

void buf_add_format(struct buf *buf, const char *format, ...)
{
	va_list args;
	int len;
	char *to;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	to = buf_reserve(buf, (size_t)len + 1);
	if (!to)
		return;
	va_start(args, format);
	vsnprintf(to, (size_t)len + 1, format, args);
	va_end(args);
	buf->len += (size_t)len;
}

const char *buf_cstr(struct buf *buf)
{
	char *end = buf_reserve(buf, 1);

	if (!end)
		return NULL;
	*end = '\0';
	return buf->ptr;
}
