/* SPDX-License-Identifier: MIT */
#include "saved_private.h"

#include "crc32c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 511, HASHED_NAME_BYTES = 17 };

/* ---- a record's bytes ---- */

enum {
	HAS_BYTES = 1,
	HAS_MTIME = 2,
	HAS_TEXT = 4,
	IS_DELETED = 8,
	IS_COLLECTION = 16,
	HAS_CHECKS = 32, /* what was written by the first versions has none */
};

/*
 * Behind it: the whole name, the base's own values, bytes or text. Two checksums (CRC32C): of bytes or text, and
 * of the key and all that is before them, this one taken as 0.
 */
struct stored {
	uint64_t name_bytes; /* of the whole name that follows, where the key is its hash; else 0 */
	uint32_t mode;
	uint32_t flags;
	int64_t seconds;
	uint32_t nanoseconds;
	uint32_t body_check;
	uint64_t ino;
	uint64_t version;
	struct hash128 text_hash;
	struct hash128 identity;
	uint64_t sequence;
	uint64_t base_epoch;
	struct hash128 base;
	uint32_t own_count;
	uint32_t head_check;
};

_Static_assert(sizeof(struct stored) == 120, "no padding in what is written");

struct key {
	MDB_val val;
	char hashed[HASHED_NAME_BYTES];
};

/* A long name's key is its first byte and a hash; the whole name is kept in the value and compared. */
static bool key_of_name(struct key *key, struct slice name)
{
	struct hash128 hash;

	if (name.len <= KEY_MAX && name.len != HASHED_NAME_BYTES) {
		key->val = (MDB_val){name.len, (void *)(uintptr_t)name.ptr};
		return false;
	}
	hash = hash128(name.ptr, name.len);
	key->hashed[0] = name.ptr[0];
	memcpy(key->hashed + 1, &hash, sizeof(hash));
	key->val = (MDB_val){sizeof(key->hashed), key->hashed};
	return true;
}

static bool take(struct slice *from, size_t len, struct slice *part)
{
	if (len > from->len)
		return false;
	*part = slice_of(from->ptr, len);
	*from = slice_of(from->ptr + len, from->len - len);
	return true;
}

/* s.head_check is looked at by nobody. */
static uint32_t check_of(MDB_val key, struct stored s, const char *behind, size_t len)
{
	uint32_t crc = crc32c(0, key.mv_data, key.mv_size);

	s.head_check = 0;
	crc = crc32c(crc, &s, sizeof(s));
	return crc32c(crc, behind, len);
}

static struct saved_record record_of(const struct stored *s)
{
	return (struct saved_record){
		.has_bytes = s->flags & HAS_BYTES,
		.has_mtime = s->flags & HAS_MTIME,
		.deleted = s->flags & IS_DELETED,
		.collection = s->flags & IS_COLLECTION,
		.mode = s->mode,
		.mtime = {(time_t)s->seconds, (long)s->nanoseconds},
		.ino = s->ino,
		.version = s->version,
		.text_hash = s->text_hash,
		.identity = s->identity,
		.sequence = s->sequence,
		.base = {.epoch = s->base_epoch, .value = s->base, .own_count = s->own_count},
	};
}

/* Cuts what is before bytes or text off rest, and verifies it. */
static int take_head(MDB_val key, const struct stored *s, struct slice *rest, struct slice *name,
	struct slice *own)
{
	const char *behind = rest->ptr;
	bool checked = s->flags & HAS_CHECKS;

	*name = slice_of(key.mv_data, key.mv_size);
	if (s->name_bytes && !take(rest, s->name_bytes, name))
		return -EIO;
	if (s->own_count > SAVED_OWN_MAX || !take(rest, s->own_count * sizeof(struct hash128), own))
		return -EIO;
	if (!checked) /* without the flag these are what the first versions wrote there */
		return s->body_check || s->head_check ? -EIO : 0;
	return check_of(key, *s, behind, (size_t)(rest->ptr - behind)) == s->head_check ? 0 : -EIO;
}

int saved_decode(MDB_val key, MDB_val val, struct slice *name, struct saved_record *record)
{
	struct slice rest, own, whole;
	struct stored s;

	*name = slice_of(key.mv_data, key.mv_size == HASHED_NAME_BYTES ? 0 : key.mv_size);
	if (val.mv_size < sizeof(s))
		return -EIO;
	memcpy(&s, val.mv_data, sizeof(s));
	rest = slice_of((char *)val.mv_data + sizeof(s), val.mv_size - sizeof(s));
	if (take_head(key, &s, &rest, &whole, &own))
		return -EIO;
	*name = whole;
	*record = record_of(&s);
	memcpy(record->base.own, own.ptr, own.len);
	record->damaged = (s.flags & HAS_CHECKS) && crc32c(0, rest.ptr, rest.len) != s.body_check;
	if (record->damaged)
		record->has_bytes = false;
	else if (s.flags & HAS_TEXT)
		record->text = rest;
	else
		record->bytes = rest;
	return 0;
}

static void encode(char *to, MDB_val key, const struct saved_item *item, bool hashed)
{
	const struct saved_record *r = item->record;
	struct slice value = r->has_bytes ? r->bytes : r->text;
	size_t own_bytes = r->base.own_count * sizeof(struct hash128);
	char *at = to + sizeof(struct stored);
	struct stored s;

	memset(&s, 0, sizeof(s));
	s.name_bytes = hashed ? item->name.len : 0;
	s.mode = r->mode;
	s.flags = (r->has_bytes ? HAS_BYTES : 0) | (r->has_mtime ? HAS_MTIME : 0) |
		  (!r->has_bytes && r->text.ptr ? HAS_TEXT : 0) | (r->deleted ? IS_DELETED : 0) |
		  (r->collection ? IS_COLLECTION : 0) | HAS_CHECKS;
	s.seconds = r->mtime.tv_sec;
	s.nanoseconds = (uint32_t)r->mtime.tv_nsec;
	s.body_check = crc32c(0, value.ptr, value.ptr ? value.len : 0);
	s.ino = r->ino;
	s.version = r->version;
	s.text_hash = r->text_hash;
	s.identity = r->identity;
	s.sequence = r->sequence;
	s.base_epoch = r->base.epoch;
	s.base = r->base.value;
	s.own_count = r->base.own_count;
	if (hashed) {
		memcpy(at, item->name.ptr, item->name.len);
		at += item->name.len;
	}
	memcpy(at, r->base.own, own_bytes);
	at += own_bytes;
	if (value.ptr && value.len)
		memcpy(at, value.ptr, value.len);
	s.head_check = check_of(key, s, to + sizeof(s), (size_t)(at - to) - sizeof(s));
	memcpy(to, &s, sizeof(s));
}

static size_t encoded_size(const struct saved_item *item, bool hashed)
{
	const struct saved_record *r = item->record;

	return sizeof(struct stored) + (hashed ? item->name.len : 0) +
	       r->base.own_count * sizeof(struct hash128) +
	       (r->has_bytes ? r->bytes.len : r->text.len);
}

static int put_record(struct saved *saved, MDB_txn *txn, const struct saved_item *item)
{
	struct key key;
	bool hashed = key_of_name(&key, item->name);
	MDB_val val;
	int ret;

	if (!item->record) {
		ret = mdb_del(txn, saved->documents, &key.val, NULL);
		return ret == MDB_NOTFOUND ? 0 : ret;
	}
	val = (MDB_val){encoded_size(item, hashed), NULL};
	ret = mdb_put(txn, saved->documents, &key.val, &val, MDB_RESERVE);
	if (!ret)
		encode(val.mv_data, key.val, item, hashed);
	return ret;
}

/* ---- reading ---- */

int saved_read_begin(struct saved *saved, struct saved_reader *reader)
{
	MDB_txn *txn = NULL;
	int ret = saved ? env_read_begin(&saved->env, &txn) : 0;

	*reader = (struct saved_reader){.saved = saved, .txn = txn};
	return ret;
}

void saved_read_end(struct saved_reader *reader)
{
	if (reader->txn)
		env_read_end(&reader->saved->env, reader->txn);
	reader->txn = NULL;
}

int saved_get(struct saved_reader *reader, struct slice name, struct saved_record *record)
{
	struct slice whole = {0};
	struct key key;
	MDB_val val;
	int ret;

	if (!reader->txn)
		return -ENOENT;
	key_of_name(&key, name);
	ret = env_code(mdb_get(reader->txn, reader->saved->documents, &key.val, &val));
	if (!ret)
		ret = saved_decode(key.val, val, &whole, record);
	if (ret ? ret != -ENOENT : record->damaged)
		env_tell_damaged(&reader->saved->env);
	/* another name with the same hash: as good as absent */
	return !ret && !slice_equal(whole, name) ? -ENOENT : ret;
}

int saved_each(struct saved_reader *reader, char tag, saved_each_fn *fn, void *context)
{
	struct saved_record record;
	struct slice name;
	MDB_val key = {1, &tag};
	MDB_val val;
	MDB_cursor *cursor;
	int ret;

	if (!reader->txn)
		return 0;
	ret = mdb_cursor_open(reader->txn, reader->saved->documents, &cursor);
	if (ret)
		return env_code(ret);
	ret = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
	while (!ret && *(char *)key.mv_data == tag) {
		int stop = saved_decode(key, val, &name, &record);

		if (stop || record.damaged)
			env_tell_damaged(&reader->saved->env);
		if (!stop)
			stop = fn(context, name, &record);
		if (stop) {
			mdb_cursor_close(cursor);
			return stop;
		}
		ret = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	if (ret == MDB_NOTFOUND)
		return 0;
	if (ret)
		env_tell_damaged(&reader->saved->env);
	return env_code(ret);
}

static int pass(void *context, struct slice name, const struct saved_record *record)
{
	(void)context;
	(void)name;
	(void)record;
	return 0;
}

int saved_examine(struct saved *saved)
{
	struct saved_reader reader;
	int ret = saved && saved->env.examined ? saved_read_begin(saved, &reader) : -ENODATA;

	if (ret)
		return ret == -ENODATA ? 0 : ret;
	ret = saved_each(&reader, 'M', pass, NULL);
	if (!ret)
		ret = saved_each(&reader, 'D', pass, NULL);
	saved_read_end(&reader);
	return ret;
}

bool saved_is_damaged(const struct saved *saved)
{
	return saved && __atomic_load_n(&saved->env.damaged, __ATOMIC_RELAXED);
}

int saved_note_get(struct saved_reader *reader, const char *name, void *value, size_t size)
{
	MDB_val key = {strlen(name), (void *)(uintptr_t)name};
	MDB_val val;
	int ret;

	if (!reader->txn)
		return -ENOENT;
	ret = mdb_get(reader->txn, reader->saved->notes, &key, &val);
	if (ret)
		return env_code(ret);
	if (val.mv_size != size)
		return -EINVAL;
	memcpy(value, val.mv_data, size);
	return 0;
}

/* ---- writing ---- */

struct batch {
	struct saved *saved;
	const struct saved_item *items;
	size_t item_count;
	const struct saved_note *notes;
	size_t note_count;
};

static int put_batch(void *context, MDB_txn *txn)
{
	const struct batch *b = context;
	int ret = 0;

	for (size_t i = 0; i < b->item_count && !ret; i++)
		ret = put_record(b->saved, txn, &b->items[i]);
	for (size_t i = 0; i < b->note_count && !ret; i++) {
		const struct saved_note *note = &b->notes[i];
		MDB_val key = {strlen(note->name), (void *)(uintptr_t)note->name};
		MDB_val val = {note->value.len, (void *)(uintptr_t)note->value.ptr};

		ret = mdb_put(txn, b->saved->notes, &key, &val, 0);
	}
	return ret;
}

int saved_write(struct saved *saved, const struct saved_item *items, size_t item_count,
	const struct saved_note *notes, size_t note_count, struct err *err)
{
	struct batch batch = {saved, items, item_count, notes, note_count};

	return env_write(&saved->env, put_batch, &batch, err);
}
