/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SAVED_PRIVATE_H
#define OUROFS_SAVED_PRIVATE_H

#include <lmdb.h>
#include <pthread.h>

#include "saved.h"

/*
 * Lock order: map_lock before pool_lock. Readers hold map_lock shared for the length of their
 * transaction; growing the map needs it alone (mdb_env_set_mapsize forbids active transactions).
 */
enum { SAVED_POOL = 16 };

struct saved {
	MDB_env *env; /* NULL: read-only and nothing there */
	MDB_dbi documents;
	MDB_dbi notes;
	bool read_only;
	size_t map_bytes;
	pthread_rwlock_t map_lock;
	pthread_mutex_t pool_lock;
	MDB_txn *pool[SAVED_POOL]; /* reset read transactions; guarded by pool_lock */
	unsigned pooled;
};

/* LMDB's codes as ours, in one place. */
int saved_code(int lmdb_code);
int saved_fail(struct err *err, int lmdb_code, const char *what);

#endif
