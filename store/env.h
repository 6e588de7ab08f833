/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ENV_H
#define OUROFS_ENV_H

#include <lmdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "err.h"
#include "lock_order.h"

/*
 * An LMDB environment of ours: what the EAV store and the saved bytes have in common. For their files
 * alone; nothing else in ourofs knows LMDB.
 *
 * It is a directory with data.mdb and lock.mdb. Ours is marked: its named database "ourofs" holds
 * "format", a u32. What has no such mark, or another format, is refused before anything is written.
 *
 * Reading: any thread, many at once; a transaction costs next to nothing, as it is used again. Writing:
 * any thread, one after another; a write is one synced transaction. The map doubles when it is full, for
 * which all readers must have ended: a thread never writes inside a read of its own. Its reads may
 * overlap, each ends on the thread that began it.
 *
 * Whoever else writes to the file, or cuts it, is noticed: before a read, which would end in a SIGBUS, by its size (-EIO);
 * before a write, for which LMDB would build on what it finds, by its time. Then it is examined (-EUCLEAN).
 *
 * LMDB takes and serves nothing any more when it could not write a header. Who meets that closes the environment and
 * opens it again, as it would at a start: a disk that failed once is no reason to stop. Only a read inside another one of
 * its thread's is refused then (-EIO).
 */
enum { ENV_POOL = 16, ENV_TABLES = 4 };

#define ENV_MAP_FIRST ((size_t)64 << 20)
#define ENV_MARK      "ourofs"

struct env_options {
	const char *name; /* "data.mdb": relative to STORE; outlives the environment */
	uint32_t format;
	const char *const *tables; /* named databases in the order of env.tables; ENV_MARK is one */
	unsigned table_count;
	bool read_only;         /* a missing environment is an empty one; nothing is written */
	size_t map_first_bytes; /* 0: ENV_MAP_FIRST */
	enum lock_rank write_rank, map_rank; /* of write_lock and map_lock */
};

struct env {
	MDB_env *mdb; /* NULL: read-only and nothing there, or lost; guarded by map_lock */
	MDB_dbi tables[ENV_TABLES];
	MDB_dbi notes;    /* of tables, ENV_MARK */
	const char *name; /* of the file, as messages call it */
	bool read_only;
	struct env_options options;
	int dir_fd;              /* of a writer, its own; -1 */
	bool lost;               /* it could not be put back in order; guarded by map_lock */
	bool doubtful;           /* a commit failed; guarded by write_lock */
	bool examined;           /* it was not left as its last writer closed it */
	bool damaged;            /* env_tell_damaged; atomically */
	uint64_t file_bytes;     /* as our last write left it; atomically */
	struct timespec changed; /* the same; guarded by write_lock */
	size_t map_bytes;        /* guarded by write_lock */
	unsigned long commits;   /* written under write_lock, atomically */

	pthread_mutex_t write_lock;
	pthread_rwlock_t
		map_lock; /* held for reading as long as a thread reads; for writing by who grows the map */
	pthread_key_t depth; /* how many reads the thread is in */
	pthread_mutex_t pool_lock;
	MDB_txn *pool[ENV_POOL]; /* reset read transactions; guarded by pool_lock */
	unsigned pooled;
};

/* dir_fd and path are of the environment's directory, which must be there. -EINVAL: not ours; -EUCLEAN: damaged. */
int env_open(struct env *env, int dir_fd, const char *path, const struct env_options *options,
	struct err *err);
void env_close(struct env *env); /* also of a zeroed one */
/*
 * Before env_close, when nobody else uses it any more: where most of its pages are free, a copy without them takes the
 * file's place. It is as good as before whatever goes wrong.
 */
void env_compact(struct env *env);

/* *txn is NULL where there is nothing to read. */
int env_read_begin(struct env *env, MDB_txn **txn);
void env_read_end(struct env *env, MDB_txn *txn);

/*
 * What has been read stays mapped, page by page up to the whole file, and counts as the process's memory. This gives
 * it back: it is in the page cache as before. Any thread, also inside a read, which finds it again. In steps,
 * as mapped_unmap_step.
 */
bool env_unmap_step(struct env *env, size_t *at);
/* All of it. */
void env_unmap_pages(struct env *env);

/*
 * LMDB keeps the memory of what it wrote for what it will write: as much as the largest transaction took. This gives
 * it back, by closing the environment for a moment. Any thread, outside a read of its own.
 */
void env_release_memory(struct env *env);

/*
 * Calls fn with a write transaction and commits it; fn's non-zero return (LMDB's or a negative errno) undoes it
 * all. fn is called again, with a new transaction, when the map had to grow.
 */
typedef int env_write_fn(void *context, MDB_txn *txn);
int env_write(struct env *env, env_write_fn *fn, void *context, struct err *err);

/* Of what was read something can't be as it was written: the file is examined before it is opened again. */
void env_tell_damaged(struct env *env);

/* LMDB's codes as ours, in one place; a negative errno stays what it is. */
int env_code(int lmdb_code);
int env_fail(const struct env *env, struct err *err, int lmdb_code, const char *what);

#endif
