/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JOURNAL_MEND_H
#define OUROFS_JOURNAL_MEND_H

#include "journal_format.h"

/* What a mended segment is made of, in order. For journal_check.c and journal_mend.c. */
struct journal_piece {
	bool lost;
	uint64_t from, to; /* bytes [from, to) of the old one; lost: numbers from ... to */
};

struct journal_pieces {
	struct journal_piece *items;
	size_t count, cap;
};

int journal_pieces_add(struct journal_pieces *pieces, bool lost, uint64_t from, uint64_t to);

/*
 * Puts a segment of these pieces in the place of old, which is kept: kept gets its name. Without pieces,
 * there is none afterwards.
 */
int journal_mend(int journal_fd, const struct journal_reader *old, uint64_t first,
	const struct journal_pieces *pieces, struct buf *kept, struct err *err);
/* A segment that holds nothing but the gap from first to last. */
int journal_mend_gap(int journal_fd, uint64_t first, uint64_t last, struct err *err);

#endif
