/* SPDX-License-Identifier: MIT */
#include "saved.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Lock order: map_lock before pool_lock. Readers hold map_lock shared for the length of their
 * transaction; growing the map needs it alone (mdb_env_set_mapsize forbids active transactions).
 */
enum { POOL = 16, KEY_MAX = 511, FORMAT = 1, HASHED_NAME_BYTES = 17 };

#define MAP_FIRST ((size_t)64 << 20)

struct saved {
	MDB_env *env; /* NULL: read-only and nothing there */
	MDB_dbi documents;
	MDB_dbi notes;
	bool read_only;
	size_t map_bytes;
	pthread_rwlock_t map_lock;
	pthread_mutex_t pool_lock;
	MDB_txn *pool[POOL]; /* reset read transactions; guarded by pool_lock */
	unsigned pooled;
};

static int code_of(int lmdb_code)
{
	switch (lmdb_code) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
		return -EINVAL;
	case MDB_READERS_FULL:
		return -EAGAIN;
	default:
		return lmdb_code > 0 ? -lmdb_code : -EIO;
	}
}

static int fail(struct err *err, int lmdb_code, const char *what)
{
	return err_set(err, code_of(lmdb_code), "data.mdb: %s: %s", what, mdb_strerror(lmdb_code));
}

/* ---- a record's bytes ---- */

struct stored {
	uint64_t name_bytes; /* of the whole name that follows, where the key is its hash; else 0 */
	uint32_t mode;
	uint32_t flags; /* 1: has bytes, 2: has an mtime */
	int64_t seconds;
	uint64_t nanoseconds;
	uint64_t ino;
	uint64_t version;
	struct hash128 text_hash;
	struct hash128 identity;
};

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

static int decode(MDB_val key, MDB_val val, struct slice *name, struct saved_record *record)
{
	struct stored s;
	size_t rest;

	if (val.mv_size < sizeof(s))
		return -EIO;
	memcpy(&s, val.mv_data, sizeof(s));
	rest = val.mv_size - sizeof(s);
	if (s.name_bytes > rest)
		return -EIO;
	*name = s.name_bytes ? slice_of((char *)val.mv_data + sizeof(s), s.name_bytes)
			     : slice_of(key.mv_data, key.mv_size);
	*record = (struct saved_record){
		.has_bytes = s.flags & 1,
		.has_mtime = s.flags & 2,
		.mode = s.mode,
		.mtime = {(time_t)s.seconds, (long)s.nanoseconds},
		.ino = s.ino,
		.version = s.version,
		.text_hash = s.text_hash,
		.identity = s.identity,
		.bytes = slice_of((char *)val.mv_data + sizeof(s) + s.name_bytes,
			rest - s.name_bytes),
	};
	return 0;
}

static int put_record(struct saved *saved, MDB_txn *txn, const struct saved_item *item)
{
	const struct saved_record *r = item->record;
	struct stored s;
	struct key key;
	bool hashed = key_of_name(&key, item->name);
	MDB_val val;
	int ret;

	if (!r) {
		ret = mdb_del(txn, saved->documents, &key.val, NULL);
		return ret == MDB_NOTFOUND ? 0 : ret;
	}
	memset(&s, 0, sizeof(s));
	s.name_bytes = hashed ? item->name.len : 0;
	s.mode = r->mode;
	s.flags = (r->has_bytes ? 1 : 0) | (r->has_mtime ? 2 : 0);
	s.seconds = r->mtime.tv_sec;
	s.nanoseconds = (uint64_t)r->mtime.tv_nsec;
	s.ino = r->ino;
	s.version = r->version;
	s.text_hash = r->text_hash;
	s.identity = r->identity;
	val = (MDB_val){sizeof(s) + s.name_bytes + (r->has_bytes ? r->bytes.len : 0), NULL};
	ret = mdb_put(txn, saved->documents, &key.val, &val, MDB_RESERVE);
	if (ret)
		return ret;
	memcpy(val.mv_data, &s, sizeof(s));
	if (hashed)
		memcpy((char *)val.mv_data + sizeof(s), item->name.ptr, item->name.len);
	if (r->has_bytes && r->bytes.len)
		memcpy((char *)val.mv_data + sizeof(s) + s.name_bytes, r->bytes.ptr, r->bytes.len);
	return 0;
}

/* ---- opening ---- */

/* Only what carries our mark, or holds nothing at all, is ours to write. */
static int check_mark(MDB_env *env, struct err *err)
{
	MDB_val key = {6, (void *)(uintptr_t) "format"};
	MDB_val val;
	MDB_stat st;
	MDB_txn *txn;
	MDB_dbi dbi;
	uint32_t format;
	int ret;

	ret = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (ret)
		return fail(err, ret, "cannot read");
	ret = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (!ret)
		ret = mdb_stat(txn, dbi, &st);
	if (!ret && st.ms_entries == 0) {
		mdb_txn_abort(txn);
		return 0;
	}
	if (!ret)
		ret = mdb_dbi_open(txn, "ourofs", 0, &dbi);
	if (!ret)
		ret = mdb_get(txn, dbi, &key, &val);
	if (ret || val.mv_size != sizeof(format)) {
		mdb_txn_abort(txn);
		return err_set(err, -EINVAL,
			"data.mdb belongs to another program: choose another store");
	}
	memcpy(&format, val.mv_data, sizeof(format));
	mdb_txn_abort(txn);
	if (format != FORMAT)
		return err_set(err, -EINVAL, "data.mdb has format %u, this ourofs writes %u",
			(unsigned)format, (unsigned)FORMAT);
	return 0;
}

static int open_env(MDB_env **env, const char *path, unsigned flags, size_t map, struct err *err)
{
	int ret = mdb_env_create(env);

	if (ret)
		return fail(err, ret, "cannot open");
	mdb_env_set_maxdbs(*env, 4);
	mdb_env_set_maxreaders(*env, 1024);
	if (map)
		mdb_env_set_mapsize(*env, map);
	ret = mdb_env_open(*env, path, flags | MDB_NOTLS, 0600);
	if (!ret)
		return 0;
	mdb_env_close(*env);
	*env = NULL;
	if (ret == MDB_INVALID || ret == MDB_VERSION_MISMATCH)
		return err_set(err, -EINVAL,
			"data.mdb belongs to another program: choose another store");
	return fail(err, ret, "cannot open");
}

/* Looks at what is there before anything is written: not even LMDB's lock file is made. */
static int inspect(const char *path, struct err *err)
{
	MDB_env *env;
	int ret = open_env(&env, path, MDB_RDONLY | MDB_NOLOCK, 0, err);

	if (ret)
		return ret;
	ret = check_mark(env, err);
	mdb_env_close(env);
	return ret;
}

static int open_tables(struct saved *saved, struct err *err)
{
	unsigned create = saved->read_only ? 0 : MDB_CREATE;
	uint32_t format = FORMAT;
	MDB_val key = {6, (void *)(uintptr_t) "format"};
	MDB_val val = {sizeof(format), &format};
	MDB_txn *txn;
	int ret;

	ret = mdb_txn_begin(saved->env, NULL, saved->read_only ? MDB_RDONLY : 0, &txn);
	if (ret)
		return fail(err, ret, "cannot begin");
	ret = mdb_dbi_open(txn, "documents", create, &saved->documents);
	if (!ret)
		ret = mdb_dbi_open(txn, "ourofs", create, &saved->notes);
	if (!ret && !saved->read_only) {
		ret = mdb_put(txn, saved->notes, &key, &val, MDB_NOOVERWRITE);
		if (ret == MDB_KEYEXIST)
			ret = 0;
	}
	if (ret)
		mdb_txn_abort(txn);
	else
		ret = mdb_txn_commit(txn);
	return ret ? fail(err, ret, "cannot open the tables") : 0;
}

static int open_at(struct saved *saved, int dir_fd, const char *path, struct err *err)
{
	struct stat st = {0};
	int ret;

	if (fstatat(dir_fd, "data.mdb", &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT)
			return err_set(err, -errno, "data.mdb: %s", strerror(errno));
		if (saved->read_only)
			return 0;
	}
	if (st.st_size)
		ret = inspect(path, err);
	else
		ret = 0;
	if (ret || (saved->read_only && !st.st_size))
		return ret;
	saved->map_bytes = MAP_FIRST;
	while (saved->map_bytes < (size_t)st.st_size + (size_t)st.st_size / 2)
		saved->map_bytes *= 2;
	ret = open_env(&saved->env, path, saved->read_only ? MDB_RDONLY | MDB_NOLOCK : 0,
		saved->map_bytes, err);
	return ret ? ret : open_tables(saved, err);
}

int saved_open(struct saved **saved, int dir_fd, const char *path, bool read_only, struct err *err)
{
	struct saved *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->read_only = read_only;
	pthread_rwlock_init(&s->map_lock, NULL);
	pthread_mutex_init(&s->pool_lock, NULL);
	ret = open_at(s, dir_fd, path, err);
	if (ret) {
		saved_close(s);
		return ret;
	}
	*saved = s;
	return 0;
}

void saved_close(struct saved *saved)
{
	if (!saved)
		return;
	while (saved->pooled)
		mdb_txn_abort(saved->pool[--saved->pooled]);
	if (saved->env)
		mdb_env_close(saved->env);
	pthread_mutex_destroy(&saved->pool_lock);
	pthread_rwlock_destroy(&saved->map_lock);
	free(saved);
}

/* ---- reading ---- */

int saved_read_begin(struct saved *saved, struct saved_reader *reader)
{
	MDB_txn *txn = NULL;
	int ret;

	*reader = (struct saved_reader){.saved = saved};
	if (!saved || !saved->env)
		return 0;
	pthread_rwlock_rdlock(&saved->map_lock);
	pthread_mutex_lock(&saved->pool_lock);
	if (saved->pooled)
		txn = saved->pool[--saved->pooled];
	pthread_mutex_unlock(&saved->pool_lock);
	if (txn) {
		ret = mdb_txn_renew(txn);
		if (ret)
			mdb_txn_abort(txn);
	} else {
		ret = mdb_txn_begin(saved->env, NULL, MDB_RDONLY, &txn);
	}
	if (ret) {
		pthread_rwlock_unlock(&saved->map_lock);
		return code_of(ret);
	}
	reader->txn = txn;
	return 0;
}

void saved_read_end(struct saved_reader *reader)
{
	struct saved *saved = reader->saved;
	MDB_txn *txn = reader->txn;

	reader->txn = NULL;
	if (!txn)
		return;
	mdb_txn_reset(txn);
	pthread_mutex_lock(&saved->pool_lock);
	if (saved->pooled < POOL) {
		saved->pool[saved->pooled++] = txn;
		txn = NULL;
	}
	pthread_mutex_unlock(&saved->pool_lock);
	if (txn)
		mdb_txn_abort(txn);
	pthread_rwlock_unlock(&saved->map_lock);
}

int saved_get(struct saved_reader *reader, struct slice name, struct saved_record *record)
{
	struct slice whole;
	struct key key;
	MDB_val val;
	int ret;

	if (!reader->txn)
		return -ENOENT;
	key_of_name(&key, name);
	ret = mdb_get(reader->txn, reader->saved->documents, &key.val, &val);
	if (!ret)
		ret = decode(key.val, val, &whole, record);
	else
		ret = code_of(ret);
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
		return code_of(ret);
	ret = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
	while (!ret && *(char *)key.mv_data == tag) {
		int stop = decode(key, val, &name, &record);

		if (!stop)
			stop = fn(context, name, &record);
		if (stop) {
			mdb_cursor_close(cursor);
			return stop;
		}
		ret = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return ret && ret != MDB_NOTFOUND ? code_of(ret) : 0;
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
		return code_of(ret);
	if (val.mv_size != size)
		return -EINVAL;
	memcpy(value, val.mv_data, size);
	return 0;
}

/* ---- writing ---- */

static int write_once(struct saved *saved, const struct saved_item *items, size_t item_count,
	const struct saved_note *notes, size_t note_count)
{
	MDB_txn *txn;
	int ret = mdb_txn_begin(saved->env, NULL, 0, &txn);

	if (ret)
		return ret;
	for (size_t i = 0; i < item_count && !ret; i++)
		ret = put_record(saved, txn, &items[i]);
	for (size_t i = 0; i < note_count && !ret; i++) {
		MDB_val key = {strlen(notes[i].name), (void *)(uintptr_t)notes[i].name};
		MDB_val val = {notes[i].value.len, (void *)(uintptr_t)notes[i].value.ptr};

		ret = mdb_put(txn, saved->notes, &key, &val, 0);
	}
	if (ret) {
		mdb_txn_abort(txn);
		return ret;
	}
	return mdb_txn_commit(txn);
}

static int grow(struct saved *saved)
{
	size_t bytes = saved->map_bytes * 2;
	int ret;

	if (bytes < saved->map_bytes)
		return MDB_MAP_FULL;
	pthread_rwlock_wrlock(&saved->map_lock);
	ret = mdb_env_set_mapsize(saved->env, bytes);
	if (!ret)
		saved->map_bytes = bytes;
	pthread_rwlock_unlock(&saved->map_lock);
	return ret;
}

int saved_write(struct saved *saved, const struct saved_item *items, size_t item_count,
	const struct saved_note *notes, size_t note_count, struct err *err)
{
	int ret;

	do {
		ret = write_once(saved, items, item_count, notes, note_count);
	} while (ret == MDB_MAP_FULL && (ret = grow(saved)) == 0);
	return ret ? fail(err, ret, "cannot commit") : 0;
}
