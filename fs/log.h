/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LOG_H
#define OUROFS_LOG_H

/*
 * What the daemon has to say, through fuse_log and so in one stream with libfuse's own messages:
 * one line each, "ourofs: text", without a newline at the end. A line names files, keys and causes,
 * never what is in a document. Control characters come out as '?'. Any thread may log.
 *
 * The level says what is let through: it, and what is more urgent. A healthy mount in the foreground says
 * nothing: on standard error it is LOG_LEVEL_WARNING. The system's log gets LOG_LEVEL_INFO, too.
 */
enum log_level {
	LOG_LEVEL_DEFAULT, /* as said */
	LOG_LEVEL_ERROR,   /* what fails for good */
	LOG_LEVEL_WARNING, /* a store fails, a value lost against another */
	LOG_LEVEL_INFO,    /* mounts, modes, other writers, recoveries */
	LOG_LEVEL_DEBUG,   /* libfuse's, each request with -d */
};

/* "error", "warning", "info", "debug": 0 or -EINVAL. */
int log_level_of_word(const char *word, enum log_level *level);

void log_to_stderr(enum log_level level);
void log_to_syslog(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
