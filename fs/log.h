/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LOG_H
#define OUROFS_LOG_H

#include <stdbool.h>

/*
 * What the daemon has to say, through fuse_log and so in one stream with libfuse's own messages:
 * one line each, "ourofs: text", without a newline at the end. A line names files, keys and causes,
 * never what is in a document. Control characters come out as '?'. Any thread may log.
 *
 * A healthy mount in the foreground says nothing: on standard error only warnings and errors appear
 * (everything with debug). The system's log gets what log_info says too.
 */
void log_to_stderr(bool debug);
void log_to_syslog(void);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
