/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>

enum { MAGIC = 0x31564145, COLLECTION = 1, DELETED = 2, HAS_MTIME = 4, BASE_EXISTS = 8 };

/* As it is on disk: see eav.h. */
struct header {
	uint64_t check;
	uint32_t magic;
	uint32_t flags;
	uint64_t entity;
	uint64_t transaction;
	uint64_t version;
	uint64_t ino;
	int64_t seconds;
	uint32_t nanoseconds;
	uint32_t mode;
	struct hash128 text_hash;
	struct hash128 identity;
	struct hash128 base;
	uint64_t bytes_check;
	uint64_t bytes_len;
	uint32_t name_len;
	uint32_t type_len;
};

_Static_assert(sizeof(struct header) == 136, "no padding in what is written");

static uint64_t check_of(MDB_val key, const char *value, size_t len)
{
	size_t skip = sizeof(((struct header *)0)->check);

	return hash64(value + skip, len - skip, hash64(key.mv_data, key.mv_size, 0));
}

static int take_header(MDB_val key, MDB_val val, struct header *h)
{
	size_t rest;

	if (val.mv_size < sizeof(*h))
		return -EIO;
	memcpy(h, val.mv_data, sizeof(*h));
	rest = val.mv_size - sizeof(*h);
	if (h->magic != MAGIC || h->name_len > rest || h->type_len > rest - h->name_len ||
		h->bytes_len != rest - h->name_len - h->type_len)
		return -EIO;
	return check_of(key, val.mv_data, val.mv_size - h->bytes_len) == h->check ? 0 : -EIO;
}

int eav_document_decode(MDB_val key, MDB_val val, struct slice *name, struct eav_record *record)
{
	const char *at = (const char *)val.mv_data + sizeof(struct header);
	struct header h;
	int ret = take_header(key, val, &h);

	*name = slice_of(key.mv_data, key.mv_size < EAV_KEY_MAX ? key.mv_size : 0);
	if (ret)
		return ret;
	if (key.mv_size == EAV_KEY_MAX)
		*name = slice_of(at, h.name_len);
	at += h.name_len;
	*record = (struct eav_record){
		.collection = h.flags & COLLECTION,
		.deleted = h.flags & DELETED,
		.has_mtime = h.flags & HAS_MTIME,
		.base_exists = h.flags & BASE_EXISTS,
		.mode = h.mode,
		.mtime = {(time_t)h.seconds, (long)h.nanoseconds},
		.ino = h.ino,
		.version = h.version,
		.transaction = h.transaction,
		.text_hash = h.text_hash,
		.identity = h.identity,
		.base = h.base,
		.type = slice_of(at, h.type_len),
		.bytes = slice_of(at + h.type_len, h.bytes_len),
		.entity = h.entity,
	};
	return 0;
}

int eav_document_verify_bytes(MDB_val val, const struct eav_record *record)
{
	struct header h;

	memcpy(&h, val.mv_data, sizeof(h));
	return hash64(record->bytes.ptr, record->bytes.len, h.entity) == h.bytes_check ? 0 : -EIO;
}

static struct header header_of(const struct eav_record *r, uint64_t entity, size_t name_len)
{
	return (struct header){
		.magic = MAGIC,
		.flags = (r->collection ? COLLECTION : 0) | (r->deleted ? DELETED : 0) |
			 (r->has_mtime ? HAS_MTIME : 0) | (r->base_exists ? BASE_EXISTS : 0),
		.entity = entity,
		.transaction = r->transaction,
		.version = r->version,
		.ino = r->ino,
		.seconds = r->mtime.tv_sec,
		.nanoseconds = (uint32_t)r->mtime.tv_nsec,
		.mode = r->mode,
		.text_hash = r->text_hash,
		.identity = r->identity,
		.base = r->base,
		.bytes_check = hash64(r->bytes.ptr, r->bytes.len, entity),
		.bytes_len = r->bytes.len,
		.name_len = (uint32_t)name_len,
		.type_len = (uint32_t)r->type.len,
	};
}

static char *add(char *to, const void *bytes, size_t len)
{
	if (len)
		memcpy(to, bytes, len);
	return to + len;
}

int eav_document_put(struct eav *eav, MDB_txn *txn, const struct eav_item *item, uint64_t entity,
	unsigned flags)
{
	const struct eav_record *r = item->record;
	struct slice name = item->name;
	struct header h;
	struct eav_key key;
	MDB_val k;
	MDB_val val;
	char *at;
	int ret;

	eav_key_name(&key, name);
	k = eav_key_val(&key);
	if (key.len < EAV_KEY_MAX)
		name.len = 0;
	if (name.len > UINT32_MAX || r->type.len > UINT32_MAX)
		return -EOVERFLOW;
	h = header_of(r, entity, name.len);
	val = (MDB_val){sizeof(h) + name.len + r->type.len + r->bytes.len, NULL};
	ret = mdb_put(txn, eav->env.tables[EAV_DOCUMENTS], &k, &val, MDB_RESERVE | flags);
	if (ret == MDB_KEYEXIST) /* it is not the last after all */
		ret = mdb_put(txn, eav->env.tables[EAV_DOCUMENTS], &k, &val, MDB_RESERVE);
	if (ret)
		return ret;
	at = add(val.mv_data, &h, sizeof(h));
	at = add(at, name.ptr, name.len);
	at = add(at, r->type.ptr, r->type.len);
	add(at, r->bytes.ptr, r->bytes.len);
	h.check = check_of(k, val.mv_data, val.mv_size - h.bytes_len);
	memcpy(val.mv_data, &h.check, sizeof(h.check));
	return 0;
}
