/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LOCK_ORDER_H
#define OUROFS_LOCK_ORDER_H

#include <pthread.h>

/*
 * The order in which a thread takes locks, outermost first: of the whole process in one place, as fs/ calls the
 * memory under locks of its own, and the memory tells fs/ under its own what happens.
 *
 * Every mutex and rwlock of ours is made here, with its rank, and then used with pthread's own functions. A build for
 * debugging (meson's `debug`, so those with sanitizers, too) holds each thread to the order: it aborts where a lock is
 * taken under one of a later rank. Of one rank, locks are taken in the order of their addresses. In a release build nothing
 * of it is there.
 *
 * Another thread (pthread_cond_wait) is waited for only under those up to LOCK_LAST_FOR_WAITING, which none takes that
 * others wait for; but for the end of a journal's sync under any, as who syncs takes no other lock.
 */
#define LOCK_ORDER(LOCK)                                                     \
	LOCK(SWITCHING, "memory.switching")                                  \
	LOCK(LISTING, "handle.lock")                                         \
	LOCK(MOVES, "fs.moves")                                              \
	LOCK(COMMIT, "document.commit")                                      \
	LOCK(DRAFT, "draft.lock")                                            \
	LOCK(SETTLING, "fs.settling")                                        \
	LOCK(TREES, "store_trees.mutex")                                     \
	LOCK(TURN, "memory.flush.turn")                                      \
	LOCK(MIGRATION, "migration.mutex")                                   \
	LOCK(ADOPTION, "memory.adoption_lock") /* under which fs/ is told */ \
	LOCK(FS, "fs.lock")                                                  \
	LOCK(MEMORY, "memory.lock")                                          \
	LOCK(EAV_TYPES, "eav.types_lock")                                    \
	LOCK(EAV_WRITE, "write_lock of the EAV store") /* env.h */           \
	LOCK(EAV_MAP, "map_lock of the EAV store")                           \
	LOCK(SAVED_WRITE, "write_lock of saved")                             \
	LOCK(SAVED_MAP, "map_lock of saved")                                 \
	LOCK(ENV_POOL, "env.pool_lock")                                      \
	LOCK(TOUCHED, "store_trees.touched_mutex")                           \
	LOCK(TREE, "tree.loading")                                           \
	LOCK(TYPES, "memory.types.mutex")                                    \
	LOCK(EDNFILE, "ednfile.lock")                                        \
	LOCK(JOURNAL, "journal.mutex")                                       \
	LOCK(VALIDATOR, "validator.mutex")                                   \
	LOCK(PACE, "pace.mutex")                                             \
	LOCK(EAV_REASON, "memory.eav.mutex")                                 \
	LOCK(FAILING, "memory.failing")                                      \
	LOCK(TELLING, "memory.telling.lock") /* under which fs/ is told */   \
	LOCK(REFUSALS, "refusals.lock")                                      \
	LOCK(PRUNING, "scratch.pruning")                                     \
	LOCK(SYNCING, "scratch.syncing")                                     \
	LOCK(NOTIFIER, "notifier.lock")                                      \
	LOCK(LOCKS, "locks.mutex")                                           \
	LOCK(EVENTS, "events.lock")                                          \
	LOCK(PRUNABLE, "prunable.lock")                                      \
	LOCK(LOOP, "loop.lock")                                              \
	LOCK(ERRORS, "refusals.errors_lock") /* a line may be logged under any other */

#define LOCK_RANK(rank, name) LOCK_##rank,
enum lock_rank { LOCK_ORDER(LOCK_RANK) LOCK_RANKS };
#undef LOCK_RANK

enum { LOCK_LAST_FOR_WAITING = LOCK_TREES };

/* 0 or a positive error, as from pthread's own. */
int mutex_init(pthread_mutex_t *mutex, enum lock_rank rank);
int mutex_init_recursive(pthread_mutex_t *mutex, enum lock_rank rank);
int rwlock_init(pthread_rwlock_t *lock, enum lock_rank rank);
/* A stream of readers does not keep a writer waiting; for that they may not nest. */
int rwlock_init_for_writers(pthread_rwlock_t *lock, enum lock_rank rank);

#endif
