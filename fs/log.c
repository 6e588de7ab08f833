/* SPDX-License-Identifier: MIT */
#define FUSE_USE_VERSION 312
#include "log.h"

#include <errno.h>
#include <fuse_log.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

static size_t render(char line[LINE_MAX_BYTES], const char *prefix, const char *format,
	va_list args) __attribute__((format(printf, 3, 0)));
static void write_line(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
static void handle_syslog(enum fuse_log_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
static void log_line(enum fuse_log_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Returns the length. What libfuse logs ends in a newline, what ourofs logs does not. */
static size_t render(char line[LINE_MAX_BYTES], const char *prefix, const char *format,
	va_list args)
{
	size_t start = strlen(prefix);
	size_t len;

	memcpy(line, prefix, start);
	line[start] = '\0';
	vsnprintf(line + start, LINE_MAX_BYTES - start, format, args);
	len = strlen(line);
	while (len > start && line[len - 1] == '\n')
		line[--len] = '\0';
	for (size_t i = start; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	return len;
}

/* One write, so that the lines of two threads do not mix. */
static void write_line(const char *format, va_list args)
{
	char line[LINE_MAX_BYTES + 1];
	size_t len = render(line, "ourofs: ", format, args);

	line[len] = '\n';
	ssize_t written = write(STDERR_FILENO, line, len + 1);
	(void)written; /* where could one say that it failed? */
}

/* libfuse calls back without a context, so each level has a function of its own. */
#define STDERR_UP_TO(name, limit)                                                         \
	__attribute__((format(printf, 2, 0))) static void name(enum fuse_log_level level, \
		const char *format, va_list args)                                         \
	{                                                                                 \
		if (level <= (limit))                                                     \
			write_line(format, args);                                         \
	}
STDERR_UP_TO(stderr_error, FUSE_LOG_ERR)
STDERR_UP_TO(stderr_warning, FUSE_LOG_WARNING)
STDERR_UP_TO(stderr_info, FUSE_LOG_INFO)
STDERR_UP_TO(stderr_debug, FUSE_LOG_DEBUG)

static const struct level {
	const char *word;
	fuse_log_func_t to_stderr;
	int priority; /* syslog(3)'s */
} LEVELS[] = {
	[LOG_LEVEL_ERROR] = {"error", stderr_error, LOG_ERR},
	[LOG_LEVEL_WARNING] = {"warning", stderr_warning, LOG_WARNING},
	[LOG_LEVEL_INFO] = {"info", stderr_info, LOG_INFO},
	[LOG_LEVEL_DEBUG] = {"debug", stderr_debug, LOG_DEBUG},
};

int log_level_of_word(const char *word, enum log_level *level)
{
	for (size_t i = LOG_LEVEL_ERROR; i < sizeof(LEVELS) / sizeof(*LEVELS); i++) {
		if (strcmp(word, LEVELS[i].word) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void handle_syslog(enum fuse_log_level level, const char *format, va_list args)
{
	char line[LINE_MAX_BYTES];

	render(line, "", format, args);
	syslog((int)level, "%s", line); /* fuse's levels are those of syslog(3) */
}

void log_to_stderr(enum log_level level)
{
	fuse_set_log_func(LEVELS[level ? level : LOG_LEVEL_WARNING].to_stderr);
}

void log_to_syslog(enum log_level level)
{
	openlog("ourofs", LOG_PID, LOG_DAEMON);
	setlogmask(LOG_UPTO(LEVELS[level ? level : LOG_LEVEL_INFO].priority));
	fuse_set_log_func(handle_syslog);
}

/* fuse_log takes no va_list, so a line is laid out here first. */
static void log_line(enum fuse_log_level level, const char *format, va_list args)
{
	char line[LINE_MAX_BYTES];

	vsnprintf(line, sizeof(line), format, args);
	fuse_log(level, "%s", line);
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(FUSE_LOG_ERR, format, args);
	va_end(args);
}

void log_warning(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(FUSE_LOG_WARNING, format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(FUSE_LOG_INFO, format, args);
	va_end(args);
}
