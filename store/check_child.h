/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CHECK_CHILD_H
#define OUROFS_CHECK_CHILD_H

#include "check.h"

/*
 * Runs fn in a child process, as LMDB may die of what it reads. What fn tells through its sink arrives in the
 * parent, in order.
 */
struct check_sink;
int check_sink_tell(struct check_sink *sink, const char *where, const char *what);

typedef int check_child_fn(void *context, struct check_sink *sink);
typedef void check_told_fn(void *context, const char *where, const char *what);

/*
 * What fn returned: 0, or a negative errno down to -255. *signal: what the child died of, or 0. Where it died,
 * what it told until then has arrived.
 */
int check_in_child(check_child_fn *fn, check_told_fn *told, void *context, int *signal);

#endif
