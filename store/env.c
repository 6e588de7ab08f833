/* SPDX-License-Identifier: MIT */
#include "env.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "env_look.h"
#include "env_notes.h"
#include "env_private.h"
#include "mapped.h"

enum { ERRNO_MAX = 4095 }; /* LMDB's own codes are below -30000 */

int env_code(int lmdb_code)
{
	switch (lmdb_code) {
	case MDB_SUCCESS:
		return 0;
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
		if (lmdb_code < 0 && lmdb_code >= -ERRNO_MAX)
			return lmdb_code;
		return lmdb_code > 0 ? -lmdb_code : -EIO;
	}
}

int env_fail(const struct env *env, struct err *err, int lmdb_code, const char *what)
{
	bool ours = lmdb_code < 0 && lmdb_code >= -ERRNO_MAX;

	return err_set(err, env_code(lmdb_code), "%s: %s: %s", env->name, what,
		ours ? strerror(-lmdb_code) : mdb_strerror(lmdb_code));
}

/* ---- reading ---- */

void env_tell_damaged(struct env *env)
{
	__atomic_store_n(&env->damaged, true, __ATOMIC_RELAXED);
}

static int look(const struct env *env, struct stat *st)
{
	int fd;

	return mdb_env_get_fd(env->mdb, &fd) || fstat(fd, st) ? -EIO : 0;
}

void env_note_own(struct env *env)
{
	struct stat st;

	if (!env->mdb || look(env, &st))
		return;
	__atomic_store_n(&env->file_bytes, (uint64_t)st.st_size, __ATOMIC_RELEASE);
	env->changed = st.st_mtim;
}

/* What is behind the end of a file that is mapped can't be touched. */
static bool is_cut(const struct env *env)
{
	/* first: a writer may make it larger meanwhile */
	uint64_t least = __atomic_load_n(&env->file_bytes, __ATOMIC_ACQUIRE);
	struct stat st;

	return !look(env, &st) && (uint64_t)st.st_size < least;
}

static int renew(struct env *env, MDB_txn **txn)
{
	int ret;

	if (env->lost)
		return -EIO;
	if (is_cut(env)) {
		env_tell_damaged(env);
		return -EIO;
	}
	pthread_mutex_lock(&env->pool_lock);
	if (env->pooled)
		*txn = env->pool[--env->pooled];
	pthread_mutex_unlock(&env->pool_lock);
	if (!*txn)
		return mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, txn);
	ret = mdb_txn_renew(*txn);
	if (ret) {
		mdb_txn_abort(*txn);
		*txn = NULL;
	}
	return ret;
}

/*
 * A thread that reads already must not queue behind a writer that waits for it: it takes the lock once,
 * however many of its reads overlap.
 */
static int enter(struct env *env)
{
	uintptr_t depth = (uintptr_t)pthread_getspecific(env->depth);

	if (pthread_setspecific(env->depth, (void *)(depth + 1)))
		return -ENOMEM;
	if (!depth)
		pthread_rwlock_rdlock(&env->map_lock);
	return 0;
}

static void leave(struct env *env)
{
	uintptr_t depth = (uintptr_t)pthread_getspecific(env->depth) - 1;

	pthread_setspecific(env->depth, (void *)depth);
	if (!depth)
		pthread_rwlock_unlock(&env->map_lock);
}

static int begin_read(struct env *env, MDB_txn **txn)
{
	int ret = enter(env);

	*txn = NULL;
	if (ret)
		return ret;
	ret = env->mdb || env->lost ? renew(env, txn) : 0;
	if (!*txn)
		leave(env);
	return ret;
}

/* With write_lock held. What is in order again by now stays as it is. */
static int revive(struct env *env, struct err *err)
{
	MDB_txn *txn;
	int ret;

	pthread_rwlock_wrlock(&env->map_lock);
	ret = env->lost ? MDB_PANIC : mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn);
	if (!ret)
		mdb_txn_abort(txn);
	else
		ret = env_reopen(env, true, err);
	pthread_rwlock_unlock(&env->map_lock);
	return ret;
}

int env_read_begin(struct env *env, MDB_txn **txn)
{
	int ret = begin_read(env, txn);

	if (ret == MDB_PANIC && !pthread_getspecific(env->depth)) {
		pthread_mutex_lock(&env->write_lock);
		ret = revive(env, NULL);
		pthread_mutex_unlock(&env->write_lock);
		if (!ret)
			ret = begin_read(env, txn);
	}
	return ret ? env_code(ret) : 0;
}

void env_read_end(struct env *env, MDB_txn *txn)
{
	if (!txn)
		return;
	mdb_txn_reset(txn);
	pthread_mutex_lock(&env->pool_lock);
	if (env->pooled < ENV_POOL) {
		env->pool[env->pooled++] = txn;
		txn = NULL;
	}
	pthread_mutex_unlock(&env->pool_lock);
	if (txn)
		mdb_txn_abort(txn);
	leave(env);
}

/* Where the map begins: LMDB does not tell, but each of its pages begins with its number. */
static char *map_begin(const struct env *env, MDB_txn *txn)
{
	MDB_cursor *cursor;
	MDB_stat stat;
	MDB_dbi main;
	MDB_val key, value;
	uint64_t number;
	char *page = NULL;

	if (mdb_dbi_open(txn, NULL, 0, &main) || mdb_cursor_open(txn, main, &cursor))
		return NULL;
	if (mdb_env_stat(env->mdb, &stat) == 0 &&
		mdb_cursor_get(cursor, &key, &value, MDB_FIRST) == 0) {
		page = (char *)key.mv_data - (uintptr_t)key.mv_data % stat.ms_psize;
		memcpy(&number, page, sizeof(number));
		page -= number * stat.ms_psize;
	}
	mdb_cursor_close(cursor);
	return page;
}

bool env_unmap_step(struct env *env, size_t *at)
{
	MDB_txn *txn;
	MDB_envinfo info;
	bool more = false;
	char *begin;

	if (env_read_begin(env, &txn) || !txn)
		return false;
	begin = map_begin(env, txn);
	if (begin && mdb_env_info(env->mdb, &info) == 0)
		more = mapped_unmap_step(begin, info.me_mapsize, at);
	env_read_end(env, txn);
	return more;
}

void env_unmap_pages(struct env *env)
{
	size_t at = 0;

	while (env_unmap_step(env, &at))
		;
}

void env_release_memory(struct env *env)
{
	if (env->read_only)
		return;
	pthread_mutex_lock(&env->write_lock);
	pthread_rwlock_wrlock(&env->map_lock);
	if (env->mdb && !env->lost && !env->doubtful)
		env_reopen(env, false, NULL); /* who comes next finds out if it is lost now */
	pthread_rwlock_unlock(&env->map_lock);
	pthread_mutex_unlock(&env->write_lock);
}

/* ---- writing ---- */

/* LMDB gives the old map up before it asks for the new one: first see that there is room for it. */
static int probe_address_space(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return errno;
	munmap(at, bytes);
	return 0;
}

static int grow(struct env *env)
{
	size_t bytes = env->map_bytes * 2;
	int ret;

	if (bytes < env->map_bytes)
		return MDB_MAP_FULL;
	pthread_rwlock_wrlock(&env->map_lock);
	ret = probe_address_space(bytes);
	if (!ret) {
		ret = mdb_env_set_mapsize(env->mdb, bytes);
		if (!ret)
			env->map_bytes = bytes;
		else if (mdb_env_set_mapsize(env->mdb, env->map_bytes))
			env->lost = true;
	}
	pthread_rwlock_unlock(&env->map_lock);
	return ret;
}

static int write_once(struct env *env, env_write_fn *fn, void *context)
{
	MDB_txn *txn;
	int ret = env->lost ? MDB_PANIC : mdb_txn_begin(env->mdb, NULL, 0, &txn);

	if (ret)
		return ret;
	ret = fn(context, txn);
	if (!ret)
		ret = env_notes_seal(txn, env->notes);
	if (ret) {
		mdb_txn_abort(txn);
		return ret;
	}
	ret = mdb_txn_commit(txn);
	env->doubtful |= ret != 0;
	return ret;
}

static int write_grown(struct env *env, env_write_fn *fn, void *context)
{
	int ret;

	do {
		ret = write_once(env, fn, context);
	} while (ret == MDB_MAP_FULL && (ret = grow(env)) == 0);
	return ret;
}

static bool is_as_left(const struct env *env, const struct stat *st)
{
	return (uint64_t)st->st_size == env->file_bytes &&
	       st->st_mtim.tv_sec == env->changed.tv_sec &&
	       st->st_mtim.tv_nsec == env->changed.tv_nsec;
}

bool env_is_own(const struct env *env)
{
	struct stat st;

	return env->mdb && !look(env, &st) && is_as_left(env, &st);
}

/* Who else has written there may have done no harm. */
static int check_own(struct env *env, struct err *err)
{
	struct stat st;

	if (env->lost || !env->mdb || look(env, &st) || is_as_left(env, &st))
		return 0;
	env_tell_damaged(env);
	return env_examine(env->dir_fd, env->name, err);
}

int env_write(struct env *env, env_write_fn *fn, void *context, struct err *err)
{
	struct err reason = {0};
	int ret;

	if (env->read_only)
		return err_set(err, -EROFS, "%s is open for reading only", env->name);
	pthread_mutex_lock(&env->write_lock);
	ret = check_own(env, &reason);
	if (!ret)
		ret = write_grown(env, fn, context);
	if (ret == MDB_PANIC) {
		ret = revive(env, &reason);
		if (!ret)
			ret = write_grown(env, fn, context);
	}
	if (!reason.code)
		env_note_own(env);
	if (!ret)
		__atomic_fetch_add(&env->commits, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&env->write_lock);
	if (!ret)
		return 0;
	return reason.code ? err_set(err, reason.code, "%s", reason.text)
			   : env_fail(env, err, ret, "cannot commit");
}
