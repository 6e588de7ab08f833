/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_REFUSALS_H
#define OUROFS_REFUSALS_H

#include "hash.h"
#include "scratch.h"

/*
 * What could not be saved, and why: the side channel for those whom an error does not reach (a
 * shell's `echo bad > f` drops close's error).
 *
 * /.rejected/<path> holds the refused bytes, /.rejected/<path>.why the reason, /.errors the last
 * REFUSALS_ERRORS refusals and background errors in words. A later good save of the path takes them
 * away, unless it only puts back what was committed before (an editor's restore). The last
 * REFUSALS_KEPT are kept, over a remount too. Any thread may call anything.
 */
enum { REFUSALS_KEPT = 100, REFUSALS_ERRORS = 100 };

struct refusals;

/* tree: STORE/rejected, which must outlive it. */
int refusals_new(struct refusals **refusals, struct scratch *tree);
void refusals_free(struct refusals *refusals);

/* committed (may be NULL): hash of the bytes that stand at path, so that a restore is told apart. */
void refusals_add(struct refusals *refusals, struct slice path, struct slice bytes,
	const struct err *reason, const struct hash128 *committed);
/* The refused draft has become good after all: its line goes, too. */
void refusals_withdraw(struct refusals *refusals, struct slice path);
/* A document was saved with these bytes. */
void refusals_saved(struct refusals *refusals, struct slice path, struct slice bytes);
/* A document left its name (an editor's backup): a refusal there may be followed by its return. */
void refusals_left(struct refusals *refusals, struct slice path, struct slice bytes);

/* A line of /.errors: "path: text". path may be empty. */
void refusals_log(struct refusals *refusals, struct slice path, const char *text);
void refusals_print_errors(struct refusals *refusals, struct buf *out);
/* Those that stand in /.rejected now. */
size_t refusals_count(struct refusals *refusals);
/* Those that there were since the mount. */
uint64_t refusals_total(struct refusals *refusals);

#endif
