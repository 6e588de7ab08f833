/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JOURNAL_CHECK_H
#define OUROFS_JOURNAL_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/*
 * Verifies the journal of a store that nobody has open, and mends it.
 *
 *	struct journal_check check = {.watermark = watermark, .say = print_line};
 *	ret = journal_check(store_fd, &check, &err);	// check.problems says how many
 *
 * Every problem is a line "journal/NAME:OFFSET: cause". A torn tail is one, too, though a mount cuts it by
 * itself: a record that was damaged later looks the same.
 *
 * With repair, damaged bytes are cut out of their segment, and a record of the kind JOURNAL_LOST stands for
 * the numbers that went with them, so that a replay takes all that is good on both sides. The segment as it
 * was stays beside it as NAME.damaged-SECONDS; each is replaced in one step. Without, nothing is written.
 */
struct journal_check {
	bool repair;
	uint64_t
		watermark; /* the stores hold all records up to it; what is missing below does no harm */
	bool unknown_before; /* the watermark is not known: what is missing before the first record, neither */
	void (*say)(void *context, const char *line);
	void *context;
	/* results */
	size_t problems;
	size_t segments; /* how many there are, or were; of these */
	uint64_t first,
		last; /* the first record's number, and the last's (first - 1: there is none) */
};

/*
 * dir_fd is STORE's. 0, also where there were problems; -ENOENT: there is no journal; -EPROTO: another version
 * wrote it; -EIO and the like: it could not be read, or not be mended.
 */
int journal_check(int dir_fd, struct journal_check *check, struct err *err);

#endif
