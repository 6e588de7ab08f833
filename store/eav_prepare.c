/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"
#include "key_sort.h"

enum { STEP_ROWS = 64 /* some 100 us */, AHEAD = 8 };

int eav_prepared_new(struct eav_prepared **prepared, size_t most)
{
	struct eav_prepared *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->most = most;
	p->ends = calloc(most, sizeof(*p->ends));
	p->entities = calloc(most, sizeof(*p->entities));
	p->made = calloc(most, sizeof(*p->made));
	if (!p->ends || !p->entities || !p->made) {
		eav_prepared_free(p);
		return -ENOMEM;
	}
	*prepared = p;
	return 0;
}

int eav_prepare(struct eav_prepared *p, const struct eav_item *item)
{
	int ret = eav_item_has_datoms(item) ? eav_datoms_add(&p->datoms, item->value) : 0;

	assert(p->count < p->most);
	if (ret)
		return ret;
	p->made[p->count] = (uint32_t)p->count;
	p->ends[p->count++] = p->datoms.count;
	return 0;
}

void eav_prepared_drop(struct eav_prepared *p, size_t item)
{
	p->count--;
	memmove(p->made + item, p->made + item + 1, (p->count - item) * sizeof(*p->made));
}

static struct slice part_of_row(const void *context, uint32_t row)
{
	const struct eav_datoms *datoms = context;

	return eav_datom_part(datoms, &datoms->list[row]);
}

/*
 * In the order of their parts, and of items behind that: numbers are given in that of names, in which items mostly come, so
 * that is the order of "ave".
 */
static void sort(struct eav_prepared *p, struct key_sorted *list)
{
	size_t at = 0;

	for (size_t item = 0; item < p->count; item++)
		for (; at < p->ends[item]; at++)
			list[at] = (struct key_sorted){.row = (uint32_t)at, .tag = (uint32_t)item};
	key_sort(list, p->datoms.count, part_of_row, &p->datoms);
	for (at = 0; at < p->datoms.count; at++) {
		const struct eav_new_datom *datom = &p->datoms.list[list[at].row];
		struct slice part = eav_datom_part(&p->datoms, datom);

		p->rows[at] = (struct eav_prepared_row){
			.part = (size_t)(part.ptr - p->datoms.bytes.ptr),
			.beside_len = datom->cut ? datom->datom_len : 0,
			.item = list[at].tag,
			.part_len = datom->part_len,
		};
	}
}

int eav_prepared_end(struct eav_prepared *p)
{
	struct key_sorted *list;

	if (p->datoms.count > UINT32_MAX || p->count > UINT32_MAX)
		return -EOVERFLOW;
	if (!p->datoms.count)
		return 0;
	list = calloc(p->datoms.count, sizeof(*list));
	p->rows = calloc(p->datoms.count, sizeof(*p->rows));
	if (list && p->rows)
		sort(p, list);
	free(list);
	return list && p->rows ? 0 : -ENOMEM;
}

static int write_row(const struct eav_prepared *p, const struct eav_prepared_row *row,
	MDB_cursor *cursor)
{
	const char *part = p->datoms.bytes.ptr + row->part;
	struct slice beside = slice_of(part - row->beside_len, row->beside_len);
	struct eav_key key;
	MDB_val k, v = eav_val(beside);

	eav_key_ave(&key, slice_of(part, row->part_len), p->entities[row->item]);
	k = eav_key_val(&key);
	return mdb_cursor_put(cursor, &k, &v, 0);
}

int eav_prepared_write(const struct eav_prepared *p, MDB_txn *txn, MDB_dbi ave,
	struct attention *attention)
{
	MDB_cursor *cursor;
	int ret = mdb_cursor_open(txn, ave, &cursor);

	if (ret)
		return ret;
	for (size_t i = 0; i < p->datoms.count && !ret; i++) {
		/* they are all over the memory */
		if (p->datoms.count - i > AHEAD)
			__builtin_prefetch(p->datoms.bytes.ptr + p->rows[i + AHEAD].part);
		if (p->entities[p->rows[i].item])
			ret = write_row(p, &p->rows[i], cursor);
		if (i % STEP_ROWS == STEP_ROWS - 1)
			background_make_way(attention);
	}
	mdb_cursor_close(cursor);
	return ret;
}

void eav_prepared_free(struct eav_prepared *p)
{
	if (!p)
		return;
	eav_datoms_release(&p->datoms);
	free(p->ends);
	free(p->entities);
	free(p->made);
	free(p->rows);
	free(p);
}
