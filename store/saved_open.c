/* SPDX-License-Identifier: MIT */
#include "saved_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FORMAT = 1 };

#define MAP_FIRST ((size_t)64 << 20)

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
		return saved_fail(err, ret, "cannot read");
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
		return saved_fail(err, ret, "cannot open");
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
	return saved_fail(err, ret, "cannot open");
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
		return saved_fail(err, ret, "cannot begin");
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
	return ret ? saved_fail(err, ret, "cannot open the tables") : 0;
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
