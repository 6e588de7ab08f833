/* SPDX-License-Identifier: MIT */
/*
 * A library for LD_PRELOAD that makes LMDB fail with EIO, as on a bad disk, while a file is there.
 *
 *   OUROFS_FAILPOINT=PATH   while PATH.get, PATH.put, PATH.commit, PATH.open is there, that kind of call
 *                           fails; without it nothing happens
 *                           PATH.malloc holds a digit or two, n: so does the n-th allocation of 64 KiB to 1 MB and
 *                           each one behind it, with ENOMEM; the file counts down to 1
 *                           PATH.renew: so does a read inside another of its thread's, of any environment, as where a
 *                           header could not be written meanwhile
 *                           PATH.key holds some bytes: what has them in its key can't be put, with EOVERFLOW
 *
 * Meant is the EAV store alone: an environment in a directory named "saved" goes on. A commit that fails is
 * an abort.
 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload.h"

static const char *prefix; /* set before main */

__attribute__((constructor)) static void arm(void)
{
	const char *value = getenv("OUROFS_FAILPOINT");

	prefix = value ? strdup(value) : NULL;
	unsetenv("OUROFS_FAILPOINT");
	unsetenv("LD_PRELOAD");
}

static bool is_meant(const char *path)
{
	static const char spared[] = "/saved";
	size_t len = path ? strlen(path) : 0;

	while (len && path[len - 1] == '/')
		len--;
	return len < strlen(spared) ||
	       strncmp(path + len - strlen(spared), spared, strlen(spared)) != 0;
}

static bool fails(const char *kind, const char *path)
{
	char file[4096];

	if (!prefix || !is_meant(path))
		return false;
	snprintf(file, sizeof(file), "%s.%s", prefix, kind);
	return access(file, F_OK) == 0;
}

static bool is_refused(MDB_txn *txn, const MDB_val *key)
{
	const char *path = NULL;
	char file[4096];
	char bytes[256];
	size_t len;
	FILE *in;

	if (!prefix || mdb_env_get_path(mdb_txn_env(txn), &path) || !is_meant(path))
		return false;
	snprintf(file, sizeof(file), "%s.key", prefix);
	in = fopen(file, "re");
	if (!in)
		return false;
	len = fread(bytes, 1, sizeof(bytes), in);
	fclose(in);
	return len && memmem(key->mv_data, key->mv_size, bytes, len);
}

static bool fails_in(const char *kind, MDB_txn *txn)
{
	const char *path = NULL;

	return prefix && mdb_env_get_path(mdb_txn_env(txn), &path) == 0 && fails(kind, path);
}

/* ---- memory ---- */

/* Not the buffers of libfuse, which gives up without. */
enum { LARGE_BYTES = 65536, LARGEST_BYTES = 1000000 };

void *__libc_malloc(size_t size);               /* NOLINT(bugprone-reserved-identifier) */
void *__libc_calloc(size_t count, size_t size); /* NOLINT(bugprone-reserved-identifier) */
void *__libc_realloc(void *at, size_t size);    /* NOLINT(bugprone-reserved-identifier) */

/* Allocates nothing itself. */
static bool runs_out(size_t size)
{
	char file[4096], text[16] = "";
	bool now = false;
	int fd, left;

	if (size < LARGE_BYTES || size > LARGEST_BYTES || !prefix)
		return false;
	snprintf(file, sizeof(file), "%s.malloc", prefix);
	fd = open(file, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (pread(fd, text, sizeof(text) - 1, 0) > 0 && (left = atoi(text)) > 0) {
		snprintf(text, sizeof(text), "%d\n", left > 1 ? left - 1 : 1);
		now = ftruncate(fd, 0) == 0 && pwrite(fd, text, strlen(text), 0) > 0 && left == 1;
	}
	close(fd);
	return now;
}

void *malloc(size_t size)
{
	return runs_out(size) ? (errno = ENOMEM, NULL) : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return size && count < SIZE_MAX / size && runs_out(count * size)
		       ? (errno = ENOMEM, NULL)
		       : __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
	return runs_out(size) ? (errno = ENOMEM, NULL) : __libc_realloc(at, size);
}

/* ---- LMDB ---- */

int mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode)
{
	NEXT(int, mdb_env_open, (MDB_env *, const char *, unsigned, mdb_mode_t));
	return fails("open", path) ? EIO : next(env, path, flags, mode);
}

int mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
	NEXT(int, mdb_get, (MDB_txn *, MDB_dbi, MDB_val *, MDB_val *));
	return fails_in("get", txn) ? EIO : next(txn, dbi, key, data);
}

int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags)
{
	NEXT(int, mdb_put, (MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned));
	if (is_refused(txn, key))
		return EOVERFLOW;
	return fails_in("put", txn) ? EIO : next(txn, dbi, key, data, flags);
}

int mdb_txn_commit(MDB_txn *txn)
{
	NEXT(int, mdb_txn_commit, (MDB_txn *));
	if (!fails_in("commit", txn))
		return next(txn);
	mdb_txn_abort(txn);
	return EIO;
}

/* ---- reads inside reads ---- */

static _Thread_local struct {
	const MDB_env *env;
	unsigned count;
} reads[4];

/* Those of this thread that were renewed. */
static unsigned *reads_of(MDB_txn *txn)
{
	const MDB_env *env = mdb_txn_env(txn);
	size_t i = 0;

	while (i < sizeof(reads) / sizeof(reads[0]) - 1 && reads[i].env && reads[i].env != env)
		i++;
	reads[i].env = env;
	return &reads[i].count;
}

int mdb_txn_renew(MDB_txn *txn)
{
	NEXT(int, mdb_txn_renew, (MDB_txn *));
	unsigned *count = reads_of(txn);
	int ret = *count && fails("renew", NULL) ? MDB_PANIC : next(txn);

	*count += !ret;
	return ret;
}

void mdb_txn_reset(MDB_txn *txn)
{
	NEXT(void, mdb_txn_reset, (MDB_txn *));
	unsigned *count = reads_of(txn);

	*count -= *count > 0;
	next(txn);
}
