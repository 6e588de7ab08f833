/* SPDX-License-Identifier: MIT */
#include "env_notes.h"

#include <string.h>

#include "crc32c.h"

#define CHECK SLICE_LITERAL("check")

void env_seal_add(struct env_seal *seal, struct slice name, struct slice value)
{
	uint32_t lengths[2] = {(uint32_t)name.len, (uint32_t)value.len};

	if (slice_equal(name, SLICE_LITERAL("format")))
		return;
	if (slice_equal(name, CHECK)) {
		seal->found = true;
		seal->malformed = value.len != sizeof(seal->noted);
		if (!seal->malformed)
			memcpy(&seal->noted, value.ptr, value.len);
		return;
	}
	seal->crc = crc32c(seal->crc, lengths, sizeof(lengths));
	seal->crc = crc32c(seal->crc, name.ptr, name.len);
	seal->crc = crc32c(seal->crc, value.ptr, value.len);
}

static int look(MDB_txn *txn, MDB_dbi notes, struct env_seal *seal)
{
	MDB_cursor *cursor;
	MDB_val key;
	MDB_val val;
	int ret = mdb_cursor_open(txn, notes, &cursor);

	*seal = (struct env_seal){0};
	if (ret)
		return ret;
	while ((ret = mdb_cursor_get(cursor, &key, &val, MDB_NEXT)) == 0)
		env_seal_add(seal, slice_of(key.mv_data, key.mv_size),
			slice_of(val.mv_data, val.mv_size));
	mdb_cursor_close(cursor);
	return ret == MDB_NOTFOUND ? 0 : ret;
}

int env_notes_seal(MDB_txn *txn, MDB_dbi notes)
{
	struct slice name = CHECK;
	MDB_val key = {name.len, (void *)(uintptr_t)name.ptr};
	struct env_seal seal;
	MDB_val val = {sizeof(seal.crc), &seal.crc};
	int ret = look(txn, notes, &seal);

	if (ret || (seal.found && env_seal_is_good(&seal)))
		return ret;
	return mdb_put(txn, notes, &key, &val, 0);
}

int env_notes_verify(MDB_txn *txn, MDB_dbi notes, bool *good)
{
	struct env_seal seal;
	int ret = look(txn, notes, &seal);

	*good = !ret && env_seal_is_good(&seal);
	return ret;
}
