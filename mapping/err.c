/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 3, 0))) static void fill(struct err *err, int code,
	const char *format, va_list args)
{
	err->code = code;
	err->line = 0;
	err->column = 0;
	err->truncated = false;
	err->at = NULL;
	vsnprintf(err->text, sizeof(err->text), format, args);
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
