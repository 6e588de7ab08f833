/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"

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

/* Those of one key as they came: what is added is behind all before it. */
static int by_key(const void *a, const void *b, void *bytes)
{
	const struct eav_index_row *x = a;
	const struct eav_index_row *y = b;
	int order = slice_compare(key_of(bytes, x), key_of(bytes, y));

	return order ? order : (x->key > y->key) - (x->key < y->key);
}

/* ---- sorting: keys of one attribute have long beginnings in common, so 8 bytes of each at once ---- */

enum { FEW = 16, WINDOW = 8, TRIES_PER_BIT = 2 };

struct sorted {
	uint64_t window; /* of the key at some depth, as a number that is ordered alike */
	uint32_t row;
};

static uint64_t window_at(const struct eav_index *index, uint32_t row, size_t depth)
{
	struct slice key = key_of(index->bytes.ptr, &index->rows[row]);
	unsigned char bytes[WINDOW] = {0};
	size_t left = key.len > depth ? key.len - depth : 0;
	uint64_t window;

	memcpy(bytes, key.ptr + (left ? depth : 0), left < WINDOW ? left : WINDOW);
	memcpy(&window, bytes, sizeof(window));
	return be64toh(window);
}

static int compare_sorted(const void *a, const void *b, void *context)
{
	const struct eav_index *index = context;

	return by_key(&index->rows[((const struct sorted *)a)->row],
		&index->rows[((const struct sorted *)b)->row], index->bytes.ptr);
}

static void sort_few(struct eav_index *index, struct sorted *list, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct sorted one = list[i];
		size_t at = i;

		for (; at && (one.window < list[at - 1].window ||
				     (one.window == list[at - 1].window &&
					     compare_sorted(&one, &list[at - 1], index) < 0));
			at--)
			list[at] = list[at - 1];
		list[at] = one;
	}
}

static uint64_t middle_of_three(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t low = a < b ? a : b;
	uint64_t high = a < b ? b : a;

	return c < low ? low : c > high ? high : c;
}

/* Three parts by their windows: below the pivot, equal to it from *low on, above it from *high on. */
static void split(struct sorted *list, size_t count, size_t *low, size_t *high)
{
	uint64_t pivot =
		middle_of_three(list[0].window, list[count / 2].window, list[count - 1].window);
	size_t at = 0;

	*low = 0;
	*high = count;
	while (at < *high) {
		struct sorted one = list[at];

		if (one.window < pivot) {
			list[at++] = list[*low];
			list[(*low)++] = one;
		} else if (one.window > pivot) {
			list[at] = list[--*high];
			list[*high] = one;
		} else {
			at++;
		}
	}
}

/* Does each key have more behind the window? A key's end looks like a zero byte. */
static bool all_go_on(const struct eav_index *index, const struct sorted *list, size_t count,
	size_t depth)
{
	for (size_t i = 0; i < count; i++)
		if (index->rows[list[i].row].key_len <= depth + WINDOW)
			return false;
	return true;
}

/* Keys that have all before depth in common. Of those that are made to be slow, qsort_r takes what is left. */
static void sort(struct eav_index *index, struct sorted *list, size_t count, size_t depth,
	unsigned tries)
{
	while (count > FEW) {
		size_t low, high;

		if (!tries--) {
			qsort_r(list, count, sizeof(*list), compare_sorted, index);
			return;
		}
		split(list, count, &low, &high);
		sort(index, list, low, depth, tries);
		sort(index, list + high, count - high, depth, tries);
		list += low;
		count = high - low;
		if (!all_go_on(index, list, count, depth)) {
			qsort_r(list, count, sizeof(*list), compare_sorted, index);
			return;
		}
		depth += WINDOW;
		for (size_t i = 0; i < count; i++)
			list[i].window = window_at(index, list[i].row, depth);
	}
	sort_few(index, list, count);
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
static struct sorted *sort_rows(struct eav_index *index)
{
	struct sorted *list = calloc(index->count, sizeof(*list));
	unsigned tries = EAV_KEY_MAX / WINDOW;

	if (!list)
		return NULL;
	for (size_t left = index->count; left; left /= 2)
		tries += TRIES_PER_BIT;
	for (size_t i = 0; i < index->count; i++)
		list[i] = (struct sorted){window_at(index, (uint32_t)i, 0), (uint32_t)i};
	sort(index, list, index->count, 0, tries);
	return list;
}

/* The last of those of one key. */
static int write_sorted(const struct eav_index *index, const struct sorted *list,
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
	struct sorted *list;
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
