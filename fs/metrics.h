/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_METRICS_H
#define OUROFS_METRICS_H

#include <stdint.h>

#include "buf.h"

/*
 * Counters of operations by result and of how long they took, and of events by name, and their print in Prometheus's
 * text format (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * Counting takes no lock and shares no cache line between processors that count at once. What is printed is no
 * snapshot of one moment, but no counter is ever seen to fall.
 */
/* clang-format off */
#define METRICS_OPERATIONS(X) \
	X(lookup) X(getattr) X(setattr) X(statfs) X(getxattr) X(listxattr) X(setxattr) \
	X(removexattr) X(opendir) X(readdir) X(readdirplus) X(releasedir) X(fsyncdir) X(mkdir) \
	X(rmdir) X(unlink) X(rename) X(symlink) X(link) X(mknod) X(open) X(create) X(read) \
	X(write) X(flush) X(fsync) X(release) X(fallocate) X(lseek) X(copy_file_range) \
	X(flock) X(getlk) X(setlk)
/* clang-format on */

enum operation {
#define METRICS_NUMBER(name) OPERATION_##name,
	METRICS_OPERATIONS(METRICS_NUMBER)
#undef METRICS_NUMBER
		OPERATION_COUNT,
};

struct metrics;

int metrics_new(struct metrics **metrics);
void metrics_free(struct metrics *metrics);

uint64_t metrics_now_ns(void); /* monotonic */
/* error: a positive errno, or 0. */
void metrics_operation(struct metrics *metrics, enum operation operation, int error,
	uint64_t duration_ns);
/* Names that memory.h lists; any other counts nothing. */
void metrics_event(struct metrics *metrics, const char *name);

/* ---- printing ---- */

/* "# HELP name help", "# TYPE name type". */
void metrics_head(struct buf *out, const char *name, const char *type, const char *help);
/* "name value" and "name{label="text"} value"; text is escaped. */
void metrics_value(struct buf *out, const char *name, double value);
void metrics_labelled(struct buf *out, const char *name, const char *label, const char *text,
	double value);
/* All that was counted here. */
void metrics_print_counted(struct metrics *metrics, struct buf *out);

#endif
