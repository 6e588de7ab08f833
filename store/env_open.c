/* SPDX-License-Identifier: MIT */
#include "env.h"

#include "env_closed.h"
#include "env_look.h"
#include "env_notes.h"
#include "env_pages.h"
#include "env_private.h"
#include "regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* 64 bytes a reader, and a page for the rest */
enum { READERS_MAX = 1024, LOCK_BYTES = READERS_MAX * 64 + 4096 };

static const char FORMAT_KEY[] = "format";

static MDB_val format_key(void)
{
	return (MDB_val){sizeof(FORMAT_KEY) - 1, (void *)(uintptr_t)FORMAT_KEY};
}

/* Of an environment with anything in it: MDB_NOTFOUND or another code when it has no mark. */
static int read_format(MDB_txn *txn, uint32_t *format, bool *good)
{
	MDB_val key = format_key();
	MDB_val val;
	MDB_dbi dbi;
	int ret = mdb_dbi_open(txn, ENV_MARK, 0, &dbi);

	if (!ret)
		ret = mdb_get(txn, dbi, &key, &val);
	if (!ret && val.mv_size != sizeof(*format))
		ret = MDB_INCOMPATIBLE;
	if (!ret)
		memcpy(format, val.mv_data, sizeof(*format));
	return ret ? ret : env_notes_verify(txn, dbi, good);
}

/* Only what carries our mark, or holds nothing at all, is ours to write. */
static int check_mark(const struct env *env, MDB_env *mdb, uint32_t wanted, struct err *err)
{
	uint32_t format = wanted;
	bool good = true;
	MDB_stat st;
	MDB_txn *txn;
	int ret = mdb_env_stat(mdb, &st);

	if (!ret)
		ret = mdb_txn_begin(mdb, NULL, MDB_RDONLY, &txn);
	if (ret)
		return env_fail(env, err, ret, "cannot read");
	if (st.ms_entries)
		ret = read_format(txn, &format, &good);
	mdb_txn_abort(txn);
	if (ret == MDB_NOTFOUND || ret == MDB_INCOMPATIBLE)
		return env_refuse(env->name, err);
	if (ret)
		return env_fail(env, err, ret, "cannot read");
	if (format != wanted)
		return err_set(err, -EINVAL, "%s has format %u, this ourofs writes %u", env->name,
			(unsigned)format, (unsigned)wanted);
	return good ? 0 : env_damaged_notes(env->name, err);
}

static int open_mdb(const struct env *env, MDB_env **mdb, const char *path, unsigned flags,
	size_t map_bytes, struct err *err)
{
	int ret = mdb_env_create(mdb);

	if (ret)
		return env_fail(env, err, ret, "cannot open");
	mdb_env_set_maxdbs(*mdb, ENV_TABLES);
	mdb_env_set_maxreaders(*mdb, READERS_MAX);
	if (map_bytes)
		mdb_env_set_mapsize(*mdb, map_bytes);
	ret = mdb_env_open(*mdb, path, flags | MDB_NOTLS, 0600);
	if (!ret)
		return 0;
	mdb_env_close(*mdb);
	*mdb = NULL;
	if (ret == MDB_INVALID || ret == MDB_VERSION_MISMATCH)
		return env_refuse(env->name, err);
	return env_fail(env, err, ret, "cannot open");
}

/* Reading past the end of a file is a SIGBUS: one that lacks pages that its header knows of is not opened. */
static int check_length(const struct env *env, MDB_env *mdb, uint64_t bytes, struct err *err)
{
	MDB_envinfo info;
	MDB_stat st;
	int ret = mdb_env_info(mdb, &info);

	if (!ret)
		ret = mdb_env_stat(mdb, &st);
	if (ret)
		return env_fail(env, err, ret, "cannot read");
	if (bytes / st.ms_psize <= info.me_last_pgno)
		return err_set(err, -EUCLEAN, "%s is cut short: %llu of %llu pages are there",
			env->name, (unsigned long long)(bytes / st.ms_psize),
			(unsigned long long)info.me_last_pgno + 1);
	return 0;
}

/* Looks at what is there before anything is written: not even LMDB's lock file is made. */
static int inspect(const struct env *env, const char *path, uint64_t bytes, uint32_t format,
	struct err *err)
{
	MDB_env *mdb;
	int ret = open_mdb(env, &mdb, path, MDB_RDONLY | MDB_NOLOCK, 0, err);

	if (ret)
		return ret;
	ret = check_length(env, mdb, bytes, err);
	if (!ret)
		ret = check_mark(env, mdb, format, err);
	mdb_env_close(mdb);
	return ret;
}

static int put_format(MDB_txn *txn, MDB_dbi dbi, uint32_t format)
{
	MDB_val key = format_key();
	MDB_val val = {sizeof(format), &format};
	int ret = mdb_put(txn, dbi, &key, &val, MDB_NOOVERWRITE);

	return ret == MDB_KEYEXIST ? 0 : ret;
}

static int open_tables(struct env *env, const struct env_options *options, struct err *err)
{
	unsigned create = env->read_only ? 0 : MDB_CREATE;
	MDB_txn *txn;
	int ret = mdb_txn_begin(env->mdb, NULL, env->read_only ? MDB_RDONLY : 0, &txn);

	if (ret)
		return env_fail(env, err, ret, "cannot begin");
	for (unsigned i = 0; i < options->table_count && !ret; i++) {
		ret = mdb_dbi_open(txn, options->tables[i], create, &env->tables[i]);
		if (!ret && strcmp(options->tables[i], ENV_MARK) == 0)
			env->notes = env->tables[i];
	}
	if (!ret && !env->read_only)
		ret = put_format(txn, env->notes, options->format);
	if (ret)
		mdb_txn_abort(txn);
	else
		ret = mdb_txn_commit(txn);
	return ret ? env_fail(env, err, ret, "cannot open the tables") : 0;
}

/* LMDB maps this file and writes there: with no room left for its pages that would be a SIGBUS. */
static int reserve_lock(const struct env *env, int dir_fd, struct err *err)
{
	int fd = regular_open(dir_fd, "lock.mdb", O_RDWR | O_CREAT);
	int ret = fd < 0 ? -fd : 0;

	if (!ret && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOCK_BYTES) && errno != EOPNOTSUPP)
		ret = errno;
	if (fd >= 0)
		close(fd);
	return ret ? env_fail(env, err, ret, "cannot make its lock") : 0;
}

static int begin_writing(struct env *env, int dir_fd, struct err *err)
{
	int ret = env_forget_closed(dir_fd);

	if (ret)
		return env_fail(env, err, -ret, "cannot begin");
	unlinkat(dir_fd, ENV_COMPACTED, 0);
	env->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	if (env->dir_fd < 0)
		return env_fail(env, err, errno, "cannot begin");
	return reserve_lock(env, dir_fd, err);
}

/* A new file's name must survive what its first commit survives. */
static int sync_names(const struct env *env, int dir_fd, struct err *err)
{
	return fsync(dir_fd) ? env_fail(env, err, errno, "cannot sync its directory") : 0;
}

static int look_at(struct env *env, int dir_fd, const char *path, const struct stat *st,
	struct err *err)
{
	bool closed = env_is_closed(dir_fd);
	struct err reason = {0};
	int ret = closed ? 0 : env_examine(dir_fd, env->name, &reason);

	env->examined = !closed;
	if (!ret)
		ret = inspect(env, path, (uint64_t)st->st_size, env->options.format, &reason);
	/* what a disk has lost by itself changes no time */
	if (ret && closed) {
		struct err more = {0};

		if (env_examine(dir_fd, env->name, &more))
			reason = more;
	}
	return reason.code ? err_set(err, reason.code, "%s", reason.text) : 0;
}

static int attach(struct env *env, const char *path, struct err *err)
{
	unsigned flags = env->read_only ? MDB_RDONLY | MDB_NOLOCK : 0;
	int stale;
	int ret = open_mdb(env, &env->mdb, path, flags, env->map_bytes, err);

	if (!ret && !env->read_only)
		mdb_reader_check(env->mdb, &stale); /* those of a process that was killed */
	if (!ret)
		ret = open_tables(env, &env->options, err);
	env_note_own(env);
	return ret;
}

/* How large the file is; one whose making was cut short is none. */
static int look_for(const struct env *env, int dir_fd, struct stat *st, struct err *err)
{
	int fd = regular_open(dir_fd, "data.mdb", O_RDONLY);
	int ret = 0;

	*st = (struct stat){0};
	if (fd < 0)
		return fd == -ENOENT ? 0 : env_fail(env, err, -fd, "cannot look at it");
	if (fstat(fd, st))
		ret = errno;
	if (!ret && st->st_size && env_pages_unborn(fd)) {
		st->st_size = 0;
		if (!env->read_only && unlinkat(dir_fd, "data.mdb", 0))
			ret = errno;
	}
	close(fd);
	return ret ? env_fail(env, err, ret, "cannot look at it") : 0;
}

static int open_at(struct env *env, int dir_fd, const char *path, struct err *err)
{
	size_t first = env->options.map_first_bytes;
	struct stat st;
	int ret = look_for(env, dir_fd, &st, err);

	if (ret || (env->read_only && !st.st_size))
		return ret;
	ret = st.st_size ? look_at(env, dir_fd, path, &st, err) : 0;
	if (ret)
		return ret;
	env->map_bytes = first ? first : ENV_MAP_FIRST;
	while (env->map_bytes < (size_t)st.st_size + (size_t)st.st_size / 2)
		env->map_bytes *= 2;
	if (!env->read_only)
		ret = begin_writing(env, dir_fd, err);
	if (!ret)
		ret = attach(env, path, err);
	/* with half of its first headers it could never be opened */
	if (ret && !env->mdb && !env->read_only && !st.st_size)
		unlinkat(dir_fd, "data.mdb", 0);
	return ret || st.st_size ? ret : sync_names(env, dir_fd, err);
}

void env_detach(struct env *env)
{
	while (env->pooled)
		mdb_txn_abort(env->pool[--env->pooled]);
	if (env->mdb)
		mdb_env_close(env->mdb);
	env->mdb = NULL;
}

int env_reopen(struct env *env, bool look, struct err *err)
{
	struct stat st;
	char path[32];
	int ret = 0;

	/* wherever its directory is by now */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", env->dir_fd);
	env_detach(env);
	env->lost = true;
	if (fstatat(env->dir_fd, "data.mdb", &st, AT_SYMLINK_NOFOLLOW))
		return env_fail(env, err, errno, "cannot look at it");
	if (look)
		ret = look_at(env, env->dir_fd, path, &st, err);
	if (!ret)
		ret = attach(env, path, err);
	if (ret)
		env_detach(env);
	else
		env->lost = env->doubtful = false;
	return ret;
}

int env_open(struct env *env, int dir_fd, const char *path, const struct env_options *options,
	struct err *err)
{
	int ret;

	*env = (struct env){.name = options->name,
		.read_only = options->read_only,
		.options = *options,
		.dir_fd = -1};
	if (pthread_key_create(&env->depth, NULL)) {
		env->name = NULL;
		return err_set(err, -EAGAIN, "%s: no key for a thread's own data", options->name);
	}
	mutex_init(&env->write_lock, options->write_rank);
	rwlock_init_for_writers(&env->map_lock, options->map_rank);
	mutex_init(&env->pool_lock, LOCK_ENV_POOL);
	ret = open_at(env, dir_fd, path, err);
	if (ret)
		env_close(env);
	return ret;
}

bool env_is_whole(const struct env *env)
{
	return env->mdb && !env->lost && !env->doubtful && !env->damaged;
}

void env_close(struct env *env)
{
	bool whole = env_is_whole(env);

	if (!env->name)
		return;
	env_detach(env);
	if (whole && env->dir_fd >= 0)
		env_note_closed(env->dir_fd);
	if (env->dir_fd >= 0)
		close(env->dir_fd);
	pthread_mutex_destroy(&env->pool_lock);
	pthread_mutex_destroy(&env->write_lock);
	pthread_rwlock_destroy(&env->map_lock);
	pthread_key_delete(env->depth);
	*env = (struct env){0};
}
