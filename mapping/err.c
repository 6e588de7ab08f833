/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

enum { ERR_WHOLE = 3 * 4096 }; /* two paths at their longest, and words */

/* What is kept of a text of len bytes that does not fit: its head and its tail, in whole characters. */
static void cut_middle(char *to, size_t size, const char *text, size_t len)
{
	static const char mark[] = " ... ";
	size_t tail = size / 2;
	size_t head = size - tail - sizeof(mark);
	const char *end = text + len - tail;

	while (head && utf8_is_continuation(text[head]))
		head--;
	while (utf8_is_continuation(*end))
		end++;
	snprintf(to, size, "%.*s%s%s", (int)head, text, mark, end);
}

__attribute__((format(printf, 3, 0))) static void fill(struct err *err, int code,
	const char *format, va_list args)
{
	char text[ERR_WHOLE] = "";
	int len;

	err->code = code;
	err->line = 0;
	err->column = 0;
	err->truncated = false;
	err->at = NULL;
	len = vsnprintf(text, sizeof(text), format, args);
	if (len < (int)sizeof(err->text))
		memcpy(err->text, text, len < 0 ? 1 : (size_t)len + 1);
	else
		cut_middle(err->text, sizeof(err->text), text, strlen(text));
}

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	va_start(args, format);
	fill(err, code, format, args);
	va_end(args);
	return code;
}

int err_set_at(struct err *err, int code, unsigned line, unsigned column, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	va_start(args, format);
	fill(err, code, format, args);
	va_end(args);
	err->line = line;
	err->column = column;
	return code;
}

const char *err_describe(const struct err *err, char *buffer, unsigned size)
{
	if (err->line)
		snprintf(buffer, size, "%u:%u: %s", err->line, err->column, err->text);
	else
		snprintf(buffer, size, "%s", err->text);
	return buffer;
}
