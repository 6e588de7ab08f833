/* SPDX-License-Identifier: MIT */
#include "eav_batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"

enum { SORT_FROM = 16 };  /* items: fewer are not worth the sorting */
enum { STEP_ITEMS = 16 }; /* 100 to 200 us */

static int put(struct eav_batch *b, unsigned to, const struct eav_key *key, struct slice value)
{
	MDB_val k = eav_key_val(key);
	MDB_val v = eav_val(value);

	return mdb_put(b->txn, eav_batch_table(b, to), &k, &v, 0);
}

/* ---- one item ---- */

/* The number of an entity whose header is damaged: that of the row in "eav" which names its key; or 0. */
static int find_number(struct eav_batch *b, const struct eav_key *wanted, uint64_t *entity)
{
	struct eav_key seek;
	MDB_cursor *cursor;
	MDB_val key;
	MDB_val val;
	int ret = mdb_cursor_open(b->txn, eav_batch_table(b, EAV_EAV), &cursor);

	if (ret)
		return ret;
	*entity = 0;
	eav_key_number(&seek, 1);
	for (;;) {
		uint64_t number;

		key = eav_key_val(&seek);
		ret = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
		if (ret || key.mv_size < EAV_NUMBER)
			break;
		number = eav_number_of(key.mv_data);
		if (key.mv_size == EAV_NUMBER &&
			slice_equal(eav_slice(val), slice_of(wanted->bytes, wanted->len))) {
			*entity = number;
			break;
		}
		if (number == UINT64_MAX)
			break;
		eav_key_number(&seek, number + 1);
	}
	mdb_cursor_close(cursor);
	return ret == MDB_NOTFOUND ? 0 : ret;
}

/* Whose place the item takes; 0 where there is no such entity. */
static int find_entity(struct eav_batch *b, struct slice name, const struct eav_key *key,
	uint64_t *entity)
{
	struct eav_record record;
	struct slice whole;
	MDB_val k = eav_key_val(key);
	MDB_val val;
	int ret = mdb_get(b->txn, eav_batch_table(b, EAV_DOCUMENTS), &k, &val);

	*entity = 0;
	if (ret)
		return ret == MDB_NOTFOUND ? 0 : ret;
	if (eav_document_decode(k, val, &whole, &record))
		return find_number(b, key, entity);
	/* another name with the same hash: rather refuse than lose that one */
	if (!slice_equal(whole, name))
		return -EEXIST;
	*entity = record.entity;
	return eav_types_add(&b->types, &record, -1);
}

static int remove_entity(struct eav_batch *b, uint64_t entity, const struct eav_key *key)
{
	struct eav_key number;
	int ret = eav_batch_del(b, EAV_DOCUMENTS, key);

	if (ret || !entity)
		return ret;
	ret = eav_batch_write_datoms(b, entity, NULL);
	eav_key_number(&number, entity);
	return ret ? ret : eav_batch_del(b, EAV_EAV, &number);
}

static int new_entity(struct eav_batch *b, const struct eav_key *key, uint64_t *entity)
{
	struct eav_key number;

	*entity = b->next_entity++;
	eav_key_number(&number, *entity);
	return eav_batch_put_eav(b, &number, slice_of(key->bytes, key->len));
}

/* Then there is no such entity, and no need to look. */
static bool is_behind_all(const struct eav_batch *b, const struct eav_key *key)
{
	return slice_compare(slice_of(key->bytes, key->len), slice_of(b->last.bytes, b->last.len)) >
	       0;
}

static int add_entity(struct eav_batch *b, const struct eav_item *item, const struct eav_key *key,
	uint64_t *entity)
{
	int ret = new_entity(b, key, entity);

	if (ret || !eav_item_has_datoms(item))
		return ret;
	return b->prepared ? eav_batch_put_prepared(b, *entity, (size_t)(item - b->given))
			   : eav_batch_add_datoms(b, *entity, item->value);
}

static int write_item(struct eav_batch *b, const struct eav_item *item)
{
	struct eav_key key;
	uint64_t entity = 0;
	bool behind;
	int ret;

	eav_key_name(&key, item->name);
	behind = is_behind_all(b, &key);
	ret = behind ? 0 : find_entity(b, item->name, &key, &entity);
	if (ret)
		return ret;
	if (!item->record)
		return remove_entity(b, entity, &key);
	b->appends = !entity;
	if (!entity) {
		ret = add_entity(b, item, &key, &entity);
	} else if (!eav_item_has_datoms(item)) {
		ret = eav_batch_write_datoms(b, entity, NULL);
	} else if (item->value) {
		ret = eav_batch_write_datoms(b, entity, item->value);
	}
	if (!ret)
		ret = eav_types_add(&b->types, item->record, 1);
	if (!ret)
		ret = eav_document_put(b->eav, b->txn, item, entity, behind ? MDB_APPEND : 0);
	if (behind)
		b->last = key;
	return ret;
}

/* ---- all of them ---- */

static struct eav_key note_key(const char *name)
{
	struct eav_key key = {.len = strlen(name)};

	assert(key.len <= sizeof(key.bytes));
	memcpy(key.bytes, name, key.len);
	return key;
}

static int load_next_entity(struct eav_batch *b)
{
	struct eav_key key = note_key(EAV_NEXT_ENTITY);
	MDB_val k = eav_key_val(&key);
	MDB_val val;
	int ret = mdb_get(b->txn, eav_batch_table(b, EAV_NOTES), &k, &val);

	b->next_entity = 1;
	if (!ret && val.mv_size != sizeof(b->next_entity))
		return -EIO;
	if (!ret)
		memcpy(&b->next_entity, val.mv_data, sizeof(b->next_entity));
	b->first_new = b->next_entity;
	return ret == MDB_NOTFOUND ? 0 : ret;
}

static int load_last(struct eav_batch *b)
{
	MDB_cursor *cursor;
	MDB_val key;
	MDB_val val;
	int ret = mdb_cursor_open(b->txn, eav_batch_table(b, EAV_DOCUMENTS), &cursor);

	if (ret)
		return ret;
	ret = mdb_cursor_get(cursor, &key, &val, MDB_LAST);
	b->last.len = 0;
	if (!ret) { /* a longer one is damage */
		b->last.len = key.mv_size < EAV_KEY_MAX ? key.mv_size : EAV_KEY_MAX;
		memcpy(b->last.bytes, key.mv_data, b->last.len);
	}
	mdb_cursor_close(cursor);
	return ret == MDB_NOTFOUND ? 0 : ret;
}

static int write_notes(struct eav_batch *b)
{
	struct eav_key key = note_key(EAV_NEXT_ENTITY);
	struct slice next = slice_of(&b->next_entity, sizeof(b->next_entity));
	int ret = b->next_entity == b->first_new ? 0 : put(b, EAV_NOTES, &key, next);

	for (size_t i = 0; i < b->note_count && !ret; i++) {
		key = note_key(b->notes[i].name);
		ret = put(b, EAV_NOTES, &key, b->notes[i].value);
	}
	return ret;
}

static int write_all(void *context, MDB_txn *txn)
{
	struct eav_batch *b = context;
	int ret;

	b->txn = txn;
	b->added = 0;
	b->removed = 0;
	if (b->prepared)
		memset(b->prepared->entities, 0,
			b->prepared->most * sizeof(*b->prepared->entities));
	eav_index_reset(&b->ave);
	eav_types_release(&b->types);
	b->transaction = mdb_txn_id(txn);
	ret = load_next_entity(b);
	if (!ret)
		ret = load_last(b);
	if (!ret)
		ret = mdb_cursor_open(txn, eav_batch_table(b, EAV_EAV), &b->eav_cursor);
	if (ret)
		return ret;
	for (size_t i = 0; i < b->count && !ret; i++) {
		ret = write_item(b, b->items[i]);
		if (i % STEP_ITEMS == STEP_ITEMS - 1)
			background_make_way(b->eav->attention);
	}
	mdb_cursor_close(b->eav_cursor);
	/* an entity is new first, and changed by a later item */
	if (!ret && b->prepared)
		ret = eav_prepared_write(b->prepared, txn, eav_batch_table(b, EAV_AVE),
			b->eav->attention);
	if (!ret)
		ret = eav_index_write(&b->ave, txn, eav_batch_table(b, EAV_AVE), b->eav->attention);
	return ret ? ret : write_notes(b);
}

/* Names in order, so that many land on the same pages; items of one name as they were given. */
static int by_name(const void *a, const void *b)
{
	const struct eav_item *const *x = a;
	const struct eav_item *const *y = b;
	int order = slice_compare((*x)->name, (*y)->name);

	return order ? order : (*x > *y) - (*x < *y);
}

static int write_batch(struct eav_batch *b, struct err *err)
{
	struct eav *eav = b->eav;
	size_t count = b->count;
	int ret;

	b->items = calloc(count ? count : 1, sizeof(struct eav_item *));
	if (!b->items)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		b->items[i] = &b->given[i];
	if (count >= SORT_FROM)
		qsort(b->items, count, sizeof(*b->items), by_name);
	ret = env_write(&eav->env, write_all, b, err);
	if (!ret) {
		__atomic_fetch_add(&eav->datoms_added, b->added, __ATOMIC_RELAXED);
		__atomic_fetch_add(&eav->datoms_removed, b->removed, __ATOMIC_RELAXED);
		eav_types_written(eav, &b->types, b->transaction);
		for (size_t i = 0; eav->written && i < count; i++)
			eav->written(eav->written_context, b->given[i].name);
	} else {
		eav_types_forget(eav);
	}
	eav_types_release(&b->types);
	eav_datoms_release(&b->datoms);
	eav_index_release(&b->ave);
	buf_release(&b->gone);
	free(b->items);
	return ret;
}

int eav_write(struct eav *eav, const struct eav_item *items, size_t count,
	const struct saved_note *notes, size_t note_count, struct err *err)
{
	struct eav_batch b = {.eav = eav,
		.given = items,
		.count = count,
		.notes = notes,
		.note_count = note_count};

	return write_batch(&b, err);
}

int eav_write_prepared(struct eav *eav, const struct eav_item *items, struct eav_prepared *prepared,
	struct err *err)
{
	struct eav_batch b = {
		.eav = eav, .given = items, .count = prepared->count, .prepared = prepared};

	return write_batch(&b, err);
}
