/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { SORT_FROM = 16 }; /* items: fewer are not worth the sorting */

/* One eav_write. */
struct batch {
	struct eav *eav;
	MDB_txn *txn;
	const struct eav_item **items; /* in the order of writing */
	size_t count;
	const struct saved_note *notes;
	size_t note_count;
	uint64_t next_entity;
	uint64_t first_new; /* next_entity before this */
	uint64_t added;
	uint64_t removed;
	struct eav_datoms datoms; /* of the item in hand */
	struct buf gone;          /* parts of keys to remove, each behind its length, a u16 */
	MDB_cursor *eav_cursor;
	bool appends;         /* the entity in hand is new: its keys are the last of "eav" */
	struct eav_key last;  /* of "documents", before this */
	struct eav_index ave; /* of all items */
};

static MDB_dbi table(const struct batch *b, unsigned name)
{
	return b->eav->env.tables[name];
}

static int put(struct batch *b, unsigned to, const struct eav_key *key, struct slice value)
{
	MDB_val k = eav_key_val(key);
	MDB_val v = eav_val(value);

	return mdb_put(b->txn, table(b, to), &k, &v, 0);
}

/* Through a cursor, which stays where the next key is. What is appended fills its pages. */
static int put_eav(struct batch *b, const struct eav_key *key, struct slice value)
{
	MDB_val k = eav_key_val(key);
	MDB_val v = eav_val(value);
	int ret = mdb_cursor_put(b->eav_cursor, &k, &v, b->appends ? MDB_APPEND : 0);

	/* a row of a number that was not given yet: damage, but no reason to lose this one */
	return ret == MDB_KEYEXIST ? mdb_cursor_put(b->eav_cursor, &k, &v, 0) : ret;
}

/* What is not there is not there: a damaged index mends as it is written. */
static int del(struct batch *b, unsigned from, const struct eav_key *key)
{
	MDB_val k = eav_key_val(key);
	int ret = mdb_del(b->txn, table(b, from), &k, NULL);

	return ret == MDB_NOTFOUND ? 0 : ret;
}

/* ---- what differs: found before anything is written, as writing moves what LMDB has shown ---- */

static struct slice new_part(const struct batch *b, size_t i)
{
	const struct eav_new_datom *datom = &b->datoms.list[i];

	return slice_of(b->datoms.bytes.ptr + datom->part, datom->part_len);
}

/* What stands beside the key: the whole datom where the key is cut, else nothing. */
static struct slice new_beside(const struct batch *b, size_t i)
{
	const struct eav_new_datom *datom = &b->datoms.list[i];

	if (datom->part == datom->datom)
		return SLICE_LITERAL("");
	return slice_of(b->datoms.bytes.ptr + datom->datom, datom->datom_len);
}

static void add_gone(struct batch *b, struct slice part)
{
	uint16_t len = (uint16_t)part.len;

	buf_add(&b->gone, &len, sizeof(len));
	buf_add_slice(&b->gone, part);
}

/* One datom that the entity has: *at is where the new ones, in the same order, have got to. */
static void compare_old(struct batch *b, struct slice part, struct slice beside, size_t *at)
{
	int order = -1;

	while (*at < b->datoms.count) {
		order = slice_compare(part, new_part(b, *at));
		if (order <= 0)
			break;
		b->datoms.list[(*at)++].write = true;
	}
	if (*at == b->datoms.count || order < 0) {
		add_gone(b, part);
		return;
	}
	/* two whose hashes are equal share a key: the document has both, the index the latest */
	b->datoms.list[*at].write = !slice_equal(beside, new_beside(b, *at));
	(*at)++;
}

static int compare(struct batch *b, uint64_t entity)
{
	struct eav_key prefix;
	MDB_cursor *cursor;
	MDB_val key;
	MDB_val val;
	size_t at = 0;
	int ret = mdb_cursor_open(b->txn, table(b, EAV_EAV), &cursor);

	if (ret)
		return ret;
	buf_reset(&b->gone);
	eav_key_number(&prefix, entity);
	key = eav_key_val(&prefix);
	ret = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
	while (!ret && slice_starts(eav_slice(key), slice_of(prefix.bytes, prefix.len))) {
		struct slice part = eav_slice(key);

		part = slice_of(part.ptr + EAV_NUMBER, part.len - EAV_NUMBER);
		if (part.len)
			compare_old(b, part, eav_slice(val), &at);
		ret = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	while (at < b->datoms.count)
		b->datoms.list[at++].write = true;
	return ret && ret != MDB_NOTFOUND ? ret : buf_error(&b->gone);
}

static int remove_datom(struct batch *b, uint64_t entity, struct slice part)
{
	struct eav_key key;
	int ret;

	eav_key_eav(&key, entity, part);
	ret = del(b, EAV_EAV, &key);
	if (ret)
		return ret;
	b->removed++;
	return eav_index_remove(&b->ave, part, entity);
}

static int put_datom(struct batch *b, uint64_t entity, size_t i)
{
	struct eav_key key;
	int ret;

	eav_key_eav(&key, entity, new_part(b, i));
	ret = put_eav(b, &key, new_beside(b, i));
	if (ret)
		return ret;
	b->added++;
	return eav_index_put(&b->ave, new_part(b, i), entity, new_beside(b, i));
}

/* A new entity has no datoms to compare with. */
static int add_datoms(struct batch *b, uint64_t entity, const struct edn *value)
{
	int ret = eav_datoms_of(&b->datoms, value);

	for (size_t i = 0; i < b->datoms.count && !ret; i++)
		ret = put_datom(b, entity, i);
	return ret;
}

/* Brings the entity's datoms to those of value (NULL: none). */
static int write_datoms(struct batch *b, uint64_t entity, const struct edn *value)
{
	int ret = eav_datoms_of(&b->datoms, value);
	size_t at = 0;

	if (!ret)
		ret = compare(b, entity);
	while (!ret && at < b->gone.len) {
		uint16_t len;

		memcpy(&len, b->gone.ptr + at, sizeof(len));
		at += sizeof(len);
		ret = remove_datom(b, entity, slice_of(b->gone.ptr + at, len));
		at += len;
	}
	for (size_t i = 0; i < b->datoms.count && !ret; i++)
		if (b->datoms.list[i].write)
			ret = put_datom(b, entity, i);
	return ret;
}

/* ---- one item ---- */

/* The number of an entity whose header is damaged: that of the row in "eav" which names its key; or 0. */
static int find_number(struct batch *b, const struct eav_key *wanted, uint64_t *entity)
{
	struct eav_key seek;
	MDB_cursor *cursor;
	MDB_val key;
	MDB_val val;
	int ret = mdb_cursor_open(b->txn, table(b, EAV_EAV), &cursor);

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

/* 0 where there is no such entity. */
static int find_entity(struct batch *b, struct slice name, const struct eav_key *key,
	uint64_t *entity)
{
	struct eav_record record;
	struct slice whole;
	MDB_val k = eav_key_val(key);
	MDB_val val;
	int ret = mdb_get(b->txn, table(b, EAV_DOCUMENTS), &k, &val);

	*entity = 0;
	if (ret)
		return ret == MDB_NOTFOUND ? 0 : ret;
	if (eav_document_decode(k, val, &whole, &record))
		return find_number(b, key, entity);
	/* another name with the same hash: rather refuse than lose that one */
	if (!slice_equal(whole, name))
		return -EEXIST;
	*entity = record.entity;
	return 0;
}

static int remove_entity(struct batch *b, uint64_t entity, const struct eav_key *key)
{
	struct eav_key number;
	int ret = del(b, EAV_DOCUMENTS, key);

	if (ret || !entity)
		return ret;
	ret = write_datoms(b, entity, NULL);
	eav_key_number(&number, entity);
	return ret ? ret : del(b, EAV_EAV, &number);
}

static int new_entity(struct batch *b, const struct eav_key *key, uint64_t *entity)
{
	struct eav_key number;

	*entity = b->next_entity++;
	eav_key_number(&number, *entity);
	return put_eav(b, &number, slice_of(key->bytes, key->len));
}

/* As items come in order, so is all that this batch has written. Of cut names, one could come twice. */
static bool is_behind_all(const struct batch *b, const struct eav_key *key)
{
	return b->appends && key->len < EAV_KEY_MAX &&
	       slice_compare(slice_of(key->bytes, key->len), slice_of(b->last.bytes, b->last.len)) >
		       0;
}

static bool has_datoms(const struct eav_item *item)
{
	return !item->record->collection && !item->record->deleted;
}

static int write_item(struct batch *b, const struct eav_item *item)
{
	struct eav_key key;
	uint64_t entity;
	int ret;

	eav_key_name(&key, item->name);
	ret = find_entity(b, item->name, &key, &entity);
	if (ret)
		return ret;
	if (!item->record)
		return remove_entity(b, entity, &key);
	b->appends = !entity;
	if (!entity) {
		ret = new_entity(b, &key, &entity);
		if (!ret && has_datoms(item))
			ret = add_datoms(b, entity, item->value);
	} else if (!has_datoms(item)) {
		ret = write_datoms(b, entity, NULL);
	} else if (item->value) {
		ret = write_datoms(b, entity, item->value);
	}
	return ret ? ret
		   : eav_document_put(b->eav, b->txn, item, entity,
			     is_behind_all(b, &key) ? MDB_APPEND : 0);
}

/* ---- all of them ---- */

static struct eav_key note_key(const char *name)
{
	struct eav_key key = {.len = strlen(name)};

	assert(key.len <= sizeof(key.bytes));
	memcpy(key.bytes, name, key.len);
	return key;
}

static int load_next_entity(struct batch *b)
{
	struct eav_key key = note_key(EAV_NEXT_ENTITY);
	MDB_val k = eav_key_val(&key);
	MDB_val val;
	int ret = mdb_get(b->txn, table(b, EAV_NOTES), &k, &val);

	b->next_entity = 1;
	if (!ret && val.mv_size != sizeof(b->next_entity))
		return -EIO;
	if (!ret)
		memcpy(&b->next_entity, val.mv_data, sizeof(b->next_entity));
	b->first_new = b->next_entity;
	return ret == MDB_NOTFOUND ? 0 : ret;
}

static int load_last(struct batch *b)
{
	MDB_cursor *cursor;
	MDB_val key;
	MDB_val val;
	int ret = mdb_cursor_open(b->txn, table(b, EAV_DOCUMENTS), &cursor);

	if (ret)
		return ret;
	ret = mdb_cursor_get(cursor, &key, &val, MDB_LAST);
	b->last.len = ret || key.mv_size > sizeof(b->last.bytes) ? 0 : key.mv_size;
	if (b->last.len)
		memcpy(b->last.bytes, key.mv_data, b->last.len);
	mdb_cursor_close(cursor);
	return ret == MDB_NOTFOUND ? 0 : ret;
}

static int write_notes(struct batch *b)
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
	struct batch *b = context;
	int ret;

	b->txn = txn;
	b->added = 0;
	b->removed = 0;
	eav_index_reset(&b->ave);
	ret = load_next_entity(b);
	if (!ret)
		ret = load_last(b);
	if (!ret)
		ret = mdb_cursor_open(txn, table(b, EAV_EAV), &b->eav_cursor);
	if (ret)
		return ret;
	for (size_t i = 0; i < b->count && !ret; i++)
		ret = write_item(b, b->items[i]);
	mdb_cursor_close(b->eav_cursor);
	if (!ret)
		ret = eav_index_write(&b->ave, txn, table(b, EAV_AVE));
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

int eav_write(struct eav *eav, const struct eav_item *items, size_t count,
	const struct saved_note *notes, size_t note_count, struct err *err)
{
	struct batch b = {.eav = eav, .count = count, .notes = notes, .note_count = note_count};
	int ret;

	b.items = calloc(count ? count : 1, sizeof(struct eav_item *));
	if (!b.items)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		b.items[i] = &items[i];
	if (count >= SORT_FROM)
		qsort(b.items, count, sizeof(*b.items), by_name);
	ret = env_write(&eav->env, write_all, &b, err);
	if (!ret) {
		__atomic_fetch_add(&eav->datoms_added, b.added, __ATOMIC_RELAXED);
		__atomic_fetch_add(&eav->datoms_removed, b.removed, __ATOMIC_RELAXED);
		for (size_t i = 0; eav->written && i < count; i++)
			eav->written(eav->written_context, items[i].name);
	}
	eav_datoms_release(&b.datoms);
	eav_index_release(&b.ave);
	buf_release(&b.gone);
	free(b.items);
	return ret;
}
