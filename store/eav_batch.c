/* SPDX-License-Identifier: MIT */
#include "eav_batch.h"

int eav_batch_put_eav(struct eav_batch *b, const struct eav_key *key, struct slice value)
{
	MDB_val k = eav_key_val(key);
	MDB_val v = eav_val(value);
	int ret = mdb_cursor_put(b->eav_cursor, &k, &v, b->appends ? MDB_APPEND : 0);

	/* a row of a number that was not given yet: damage, but no reason to lose this one */
	return ret == MDB_KEYEXIST ? mdb_cursor_put(b->eav_cursor, &k, &v, 0) : ret;
}

int eav_batch_del(struct eav_batch *b, unsigned from, const struct eav_key *key)
{
	MDB_val k = eav_key_val(key);
	int ret = mdb_del(b->txn, eav_batch_table(b, from), &k, NULL);

	return ret == MDB_NOTFOUND ? 0 : ret;
}

/* ---- what differs: found before anything is written, as writing moves what LMDB has shown ---- */

static struct slice new_part(const struct eav_batch *b, size_t i)
{
	return eav_datom_part(&b->datoms, &b->datoms.list[i]);
}

static struct slice new_beside(const struct eav_batch *b, size_t i)
{
	return eav_datom_beside(&b->datoms, &b->datoms.list[i]);
}

static void add_gone(struct eav_batch *b, struct slice part)
{
	uint16_t len = (uint16_t)part.len;

	buf_add(&b->gone, &len, sizeof(len));
	buf_add_slice(&b->gone, part);
}

/* One datom that the entity has: *at is where the new ones, in the same order, have got to. */
static void compare_old(struct eav_batch *b, struct slice part, struct slice beside, size_t *at)
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

static int compare(struct eav_batch *b, uint64_t entity)
{
	struct eav_key prefix;
	MDB_cursor *cursor;
	MDB_val key;
	MDB_val val;
	size_t at = 0;
	int ret = mdb_cursor_open(b->txn, eav_batch_table(b, EAV_EAV), &cursor);

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

static int remove_datom(struct eav_batch *b, uint64_t entity, struct slice part)
{
	struct eav_key key;
	int ret;

	eav_key_eav(&key, entity, part);
	ret = eav_batch_del(b, EAV_EAV, &key);
	if (ret)
		return ret;
	b->removed++;
	return eav_index_remove(&b->ave, part, entity);
}

static int put_row(struct eav_batch *b, uint64_t entity, struct slice part, struct slice beside)
{
	struct eav_key key;
	int ret;

	eav_key_eav(&key, entity, part);
	ret = eav_batch_put_eav(b, &key, beside);
	b->added += !ret;
	return ret;
}

static int put_datom(struct eav_batch *b, uint64_t entity, size_t i)
{
	int ret = put_row(b, entity, new_part(b, i), new_beside(b, i));

	return ret ? ret : eav_index_put(&b->ave, new_part(b, i), entity, new_beside(b, i));
}

int eav_batch_put_prepared(struct eav_batch *b, uint64_t entity, size_t item)
{
	struct eav_prepared *p = b->prepared;
	int ret = 0;

	item = p->made[item];
	for (size_t i = item ? p->ends[item - 1] : 0; i < p->ends[item] && !ret; i++)
		ret = put_row(b, entity, eav_datom_part(&p->datoms, &p->datoms.list[i]),
			eav_datom_beside(&p->datoms, &p->datoms.list[i]));
	p->entities[item] = entity;
	return ret;
}

int eav_batch_add_datoms(struct eav_batch *b, uint64_t entity, const struct edn *value)
{
	int ret = eav_datoms_of(&b->datoms, value);

	for (size_t i = 0; i < b->datoms.count && !ret; i++)
		ret = put_datom(b, entity, i);
	return ret ? ret : eav_index_keep(&b->ave, &b->datoms.bytes);
}

int eav_batch_write_datoms(struct eav_batch *b, uint64_t entity, const struct edn *value)
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
	return ret ? ret : eav_index_keep(&b->ave, &b->datoms.bytes);
}
