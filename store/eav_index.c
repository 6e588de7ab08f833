/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"
#include "key_sort.h"

enum { STEP_ROWS = 64 /* some 100 us */, LARGE_BYTES = 1 << 16 };

/* Offsets into eav_index.bytes. */
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
	if (beside.len > UINT32_MAX || index->count == UINT32_MAX)
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

static struct slice key_of_row(const void *context, uint32_t row)
{
	const struct eav_index *index = context;

	return key_of(index->bytes.ptr, &index->rows[row]);
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

/* NULL: out of memory. The caller frees it. */
static struct key_sorted *sort_rows(const struct eav_index *index)
{
	struct key_sorted *list = calloc(index->count, sizeof(*list));

	if (!list)
		return NULL;
	for (size_t i = 0; i < index->count; i++)
		list[i].row = (uint32_t)i;
	key_sort(list, index->count, key_of_row, index);
	return list;
}

/* The last of those of one key. */
static int write_sorted(const struct eav_index *index, const struct key_sorted *list,
	MDB_cursor *cursor, struct attention *attention)
{
	const char *bytes = index->bytes.ptr;
	int ret = 0;

	for (size_t i = 0; i < index->count && !ret; i++) {
		const struct eav_index_row *row = &index->rows[list[i].row];

		if (i + 1 == index->count || !slice_equal(key_of(bytes, row),
						     key_of(bytes, &index->rows[list[i + 1].row])))
			ret = write_row(cursor, bytes, row);
		if (i % STEP_ROWS == STEP_ROWS - 1)
			background_make_way(attention);
	}
	return ret;
}

int eav_index_write(struct eav_index *index, MDB_txn *txn, MDB_dbi ave, struct attention *attention)
{
	struct key_sorted *list;
	MDB_cursor *cursor;
	int ret;

	if (!index->count)
		return 0;
	list = sort_rows(index);
	if (!list)
		return -ENOMEM;
	ret = mdb_cursor_open(txn, ave, &cursor);
	if (!ret) {
		ret = write_sorted(index, list, cursor, attention);
		mdb_cursor_close(cursor);
	}
	free(list);
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
