/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Keys in byte order are names or datoms in order, but for those that share all the bytes up to the
 * cut: they stand in the order of their hashes. Such a run is gathered and sorted before it is told.
 */
struct run {
	const struct eav_scan *scan;
	size_t cut;
	struct eav_row *rows;
	size_t count, cap;
};

int eav_row_decode(unsigned table, struct eav_row *row)
{
	struct slice key = eav_slice(row->key);
	char again[EAV_KEY_MAX];
	struct slice part;

	if (key.len < EAV_NUMBER)
		return -EIO;
	part = slice_of(key.ptr, key.len - EAV_NUMBER);
	if (table == EAV_EAV)
		part.ptr += EAV_NUMBER;
	if (!part.len)
		return -ENOENT;
	row->number = eav_number_of(table == EAV_EAV ? key.ptr : key.ptr + part.len);
	row->whole = part;
	if (key.len < EAV_KEY_MAX)
		return 0;
	row->whole = eav_slice(row->val);
	return slice_equal(eav_cut(row->whole, EAV_DATOM_CUT, again), part) ? 0 : -EIO;
}

/* A damaged document whose name was in it stands where its key does. */
static void document_row(struct eav_row *row)
{
	struct eav_record record;

	row->whole = eav_slice(row->key);
	if (row->key.mv_size < EAV_KEY_MAX)
		return;
	eav_document_decode(row->key, row->val, &row->whole, &record);
	if (!row->whole.len)
		row->whole = slice_of(row->key.mv_data, EAV_NAME_CUT);
}

static int tell(const struct run *run, const struct eav_row *row)
{
	if (slice_compare(row->whole, run->scan->from) < 0)
		return 0;
	return run->scan->fn(run->scan->context, row);
}

static int by_whole(const void *a, const void *b)
{
	const struct eav_row *x = a;
	const struct eav_row *y = b;
	int order = slice_compare(x->whole, y->whole);

	return order ? order : (x->number > y->number) - (x->number < y->number);
}

static int end_run(struct run *run)
{
	int ret = 0;

	if (run->count > 1)
		qsort(run->rows, run->count, sizeof(*run->rows), by_whole);
	for (size_t i = 0; i < run->count && !ret; i++)
		ret = tell(run, &run->rows[i]);
	run->count = 0;
	return ret;
}

static int push(struct run *run, const struct eav_row *row)
{
	if (run->count == run->cap) {
		size_t cap = run->cap ? run->cap * 2 : 16;
		struct eav_row *rows = reallocarray(run->rows, cap, sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		run->rows = rows;
		run->cap = cap;
	}
	run->rows[run->count++] = *row;
	return 0;
}

static int take(struct run *run, const struct eav_row *row)
{
	bool long_row = row->whole.len >= run->cut;
	int ret = 0;

	if (run->count &&
		(!long_row || memcmp(row->whole.ptr, run->rows[0].whole.ptr, run->cut) != 0))
		ret = end_run(run);
	if (ret)
		return ret;
	return long_row ? push(run, row) : tell(run, row);
}

static int take_key(struct run *run, MDB_val key, MDB_val val)
{
	struct eav_row row = {.key = key, .val = val};
	int ret = 0;

	if (run->scan->table == EAV_DOCUMENTS)
		document_row(&row);
	else
		ret = eav_row_decode(run->scan->table, &row);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	return take(run, &row);
}

/* A walk through all of a big store would have all of it mapped in the end. */
static void pass(const struct eav_reader *reader, size_t count)
{
	enum { UNMAP_ROWS = 2048 };

	if (count % UNMAP_ROWS == 0)
		eav_unmap_pages(reader->eav);
}

static int walk(struct run *run, const struct eav_reader *reader, MDB_cursor *cursor)
{
	size_t count = 0;
	const struct eav_scan *scan = run->scan;
	struct slice seek = scan->from.len ? scan->from : scan->prefix;
	MDB_val key;
	MDB_val val;
	int ret;

	if (scan->from.len > run->cut)
		seek.len = run->cut;
	key = eav_val(seek);
	ret = mdb_cursor_get(cursor, &key, &val, seek.len ? MDB_SET_RANGE : MDB_FIRST);
	while (!ret && slice_starts(eav_slice(key), scan->prefix)) {
		ret = take_key(run, key, val);
		if (ret)
			return ret;
		pass(reader, ++count);
		ret = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
	}
	if (ret && ret != MDB_NOTFOUND)
		return env_code(ret);
	return end_run(run);
}

int eav_scan(struct eav_reader *reader, const struct eav_scan *scan)
{
	struct run run = {
		.scan = scan, .cut = scan->table == EAV_DOCUMENTS ? EAV_NAME_CUT : EAV_DATOM_CUT};
	MDB_cursor *cursor;
	int ret;

	if (!reader->txn)
		return 0;
	ret = mdb_cursor_open(reader->txn, reader->eav->env.tables[scan->table], &cursor);
	if (ret)
		return env_code(ret);
	ret = walk(&run, reader, cursor);
	mdb_cursor_close(cursor);
	free(run.rows);
	return ret;
}
