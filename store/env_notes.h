/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ENV_NOTES_H
#define OUROFS_ENV_NOTES_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

/*
 * The notes of an environment, its table ENV_MARK, are few, and all else depends on them: one more, "check", is
 * the CRC32C of all of them, each with its length, in the order of their names; but for "format", by which others are
 * known. What was written by the first versions has none.
 */
struct env_seal {
	uint32_t crc;
	bool found, malformed; /* the note is there; and is none */
	uint32_t noted;
};

/* Of each note in turn, from a zeroed one. */
void env_seal_add(struct env_seal *seal, struct slice name, struct slice value);
static inline bool env_seal_is_good(const struct env_seal *seal)
{
	return !seal->found || (!seal->malformed && seal->noted == seal->crc);
}

/* Before a commit. LMDB's code. */
int env_notes_seal(MDB_txn *txn, MDB_dbi notes);
int env_notes_verify(MDB_txn *txn, MDB_dbi notes, bool *good);

#endif
