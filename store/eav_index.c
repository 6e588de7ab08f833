/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>
#include <stdlib.h>

#include "background.h"

enum { STEP_ROWS = 64 /* some 100 us */, LARGE_BYTES = 1 << 16 };

/* Offsets into eav_index.bytes: rows are moved while they are sorted. */
struct eav_index_row {
	size_t key;
	uint16_t key_len;
	bool remove;
	uint32_t beside_len;
	const char *beside; /* a large value; NULL: it is behind the key */
};

static int add(struct eav_index *index, struct slice part, uint64_t entity, struct slice beside,
	bool remove)
{
	struct eav_key key;

	if (index->count == index->cap) {
		size_t cap = index->cap ? index->cap * 2 : 256;
		struct eav_index_row *rows = reallocarray(index->rows, cap, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		index->rows = rows;
		index->cap = cap;
	}
	if (beside.len > UINT32_MAX)
		return -EOVERFLOW;
	eav_key_ave(&key, part, entity);
	index->rows[index->count++] = (struct eav_index_row){index->bytes.len, (uint16_t)key.len,
		remove, (uint32_t)beside.len, beside.len < LARGE_BYTES ? NULL : beside.ptr};
	buf_add(&index->bytes, key.bytes, key.len);
	if (beside.len < LARGE_BYTES)
		buf_add_slice(&index->bytes, beside);
	else
		index->borrows = true;
	return buf_error(&index->bytes);
}

int eav_index_put(struct eav_index *index, struct slice part, uint64_t entity, struct slice beside)
{
	return add(index, part, entity, beside, false);
}

int eav_index_keep(struct eav_index *index, struct buf *bytes)
{
	if (!index->borrows)
		return 0;
	if (!arena_adopt(&index->kept, bytes->ptr))
		return -ENOMEM;
	*bytes = BUF_INIT;
	index->borrows = false;
	return 0;
}

int eav_index_remove(struct eav_index *index, struct slice part, uint64_t entity)
{
	return add(index, part, entity, SLICE_LITERAL(""), true);
}

static struct slice key_of(const char *bytes, const struct eav_index_row *row)
{
	return slice_of(bytes + row->key, row->key_len);
}

/* Those of one key as they came: what is added is behind all before it. */
static int by_key(const void *a, const void *b, void *bytes)
{
	const struct eav_index_row *x = a;
	const struct eav_index_row *y = b;
	int order = slice_compare(key_of(bytes, x), key_of(bytes, y));

	return order ? order : (x->key > y->key) - (x->key < y->key);
}

static int write_row(MDB_cursor *cursor, const char *bytes, const struct eav_index_row *row)
{
	MDB_val key = eav_val(key_of(bytes, row));
	const char *beside = row->beside ? row->beside : bytes + row->key + row->key_len;
	MDB_val val = {row->beside_len, (void *)(uintptr_t)beside};
	int ret;

	if (!row->remove)
		return mdb_cursor_put(cursor, &key, &val, 0);
	/* what is not there is not there: a damaged index mends as it is written */
	ret = mdb_cursor_get(cursor, &key, &val, MDB_SET);
	if (!ret)
		ret = mdb_cursor_del(cursor, 0);
	return ret == MDB_NOTFOUND ? 0 : ret;
}

int eav_index_write(struct eav_index *index, MDB_txn *txn, MDB_dbi ave, struct attention *attention)
{
	const char *bytes = index->bytes.ptr;
	MDB_cursor *cursor;
	int ret;

	if (!index->count)
		return 0;
	qsort_r(index->rows, index->count, sizeof(*index->rows), by_key, index->bytes.ptr);
	ret = mdb_cursor_open(txn, ave, &cursor);
	if (ret)
		return ret;
	for (size_t i = 0; i < index->count && !ret; i++) {
		const struct eav_index_row *row = &index->rows[i];

		if (i + 1 == index->count ||
			!slice_equal(key_of(bytes, row), key_of(bytes, row + 1)))
			ret = write_row(cursor, bytes, row);
		if (i % STEP_ROWS == STEP_ROWS - 1)
			background_make_way(attention);
	}
	mdb_cursor_close(cursor);
	return ret;
}

void eav_index_reset(struct eav_index *index)
{
	buf_reset(&index->bytes);
	arena_reset(&index->kept);
	index->borrows = false;
	index->count = 0;
}

void eav_index_release(struct eav_index *index)
{
	buf_release(&index->bytes);
	arena_release(&index->kept);
	free(index->rows);
	*index = (struct eav_index){0};
}
