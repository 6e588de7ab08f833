/* SPDX-License-Identifier: MIT */
#include "lock_order_check.h"

#include <execinfo.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KNOWN_BITS = 18, KNOWN_MAX = 1 << KNOWN_BITS, HELD_MAX = 16, FRAMES_MAX = 32 };

#define NAME(rank, name) [LOCK_##rank] = (name),
static const char *const NAMES[LOCK_RANKS] = {LOCK_ORDER(NAME)};
#undef NAME

/*
 * Every lock there is, by its address, in the first free place from that of its hash on. Relaxed, so that nothing is
 * ordered by it which is a race without: who has the lock's address came to know of it after it was added.
 */
static const char GONE;
static struct known {
	_Atomic(const void *) lock; /* NULL; &GONE: free again */
	atomic_int rank;
	atomic_bool recursive;
} known[KNOWN_MAX];

/* What the thread holds, in the order it was taken. */
static _Thread_local struct held {
	const void *lock;
	int rank;
} held[HELD_MAX];
static _Thread_local unsigned held_count;

/* It is loaded at the first call, when a confined process can't open it any more. */
__attribute__((constructor)) static void load_backtrace(void)
{
	void *frame;

	(void)backtrace(&frame, 1);
}

static void fail(const char *lock, const char *what, const char *other)
{
	void *frames[FRAMES_MAX];

	fprintf(stderr, "lock order: %s%s%s\n", lock, what, other);
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
	abort();
}

static struct known *place(const void *lock, size_t n)
{
	uint64_t hash = (uint64_t)(uintptr_t)lock * 0x9e3779b97f4a7c15u;

	return &known[((hash >> (64 - KNOWN_BITS)) + n) % KNOWN_MAX];
}

static struct known *find(const void *lock)
{
	for (size_t n = 0; n < KNOWN_MAX; n++) {
		struct known *at = place(lock, n);
		const void *there = atomic_load_explicit(&at->lock, memory_order_relaxed);

		if (there == lock)
			return at;
		if (!there)
			break;
	}
	return NULL;
}

static void set(struct known *at, enum lock_rank rank, bool recursive)
{
	atomic_store_explicit(&at->rank, (int)rank, memory_order_relaxed);
	atomic_store_explicit(&at->recursive, recursive, memory_order_relaxed);
}

static struct known *find_room(const void *lock)
{
	for (size_t n = 0; n < KNOWN_MAX; n++) {
		struct known *at = place(lock, n);
		const void *there = atomic_load_explicit(&at->lock, memory_order_relaxed);

		if ((!there || there == &GONE) &&
			atomic_compare_exchange_strong_explicit(&at->lock, &there, lock,
				memory_order_relaxed, memory_order_relaxed))
			return at;
	}
	return NULL;
}

void lock_order_add(const void *lock, enum lock_rank rank, bool recursive)
{
	struct known *at = find(lock); /* of one that was there before, and freed as it was */

	if (!at)
		at = find_room(lock);
	if (!at)
		fail(NAMES[rank], " is one too many for the check", "");
	set(at, rank, recursive);
}

static void forget(const void *lock)
{
	struct known *at = find(lock);

	if (at)
		atomic_store_explicit(&at->lock, &GONE, memory_order_relaxed);
}

static const struct known *get(const void *lock, int *rank)
{
	const struct known *at = find(lock);

	if (!at)
		fail("a lock", " has no rank", "");
	*rank = atomic_load_explicit(&at->rank, memory_order_relaxed);
	return at;
}

static void push(const void *lock)
{
	int rank;

	get(lock, &rank);
	if (held_count == HELD_MAX)
		fail(NAMES[rank], " is one too many for a thread", "");
	held[held_count++] = (struct held){lock, rank};
}

static void take(const void *lock)
{
	int rank;
	bool recursive = atomic_load_explicit(&get(lock, &rank)->recursive, memory_order_relaxed);

	for (unsigned i = 0; i < held_count; i++) {
		if (held[i].rank < rank || (held[i].lock == lock && recursive) ||
			(held[i].rank == rank && held[i].lock < lock))
			continue;
		fail(NAMES[rank], " is taken under ", NAMES[held[i].rank]);
	}
	push(lock);
}

/* Which it was. */
static int let_go(const void *lock)
{
	unsigned i = held_count;
	int rank;

	get(lock, &rank);
	while (i && held[i - 1].lock != lock)
		i--;
	if (!i)
		fail(NAMES[rank], " is let go by a thread that does not hold it", "");
	for (; i < held_count; i++)
		held[i - 1] = held[i];
	held_count--;
	return rank;
}

static void begin_waiting(const void *mutex)
{
	if (let_go(mutex) == LOCK_JOURNAL)
		return;
	for (unsigned i = 0; i < held_count; i++)
		if (held[i].rank > LOCK_LAST_FOR_WAITING)
			fail(NAMES[held[i].rank], " is held while another thread is waited for",
				"");
}

/* ---- before pthread's ---- */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,bugprone-macro-parentheses): the linker's names, and types */
#define BEFORE(call, type, what)            \
	int __real_##call(type *lock);      \
	int __wrap_##call(type *lock);      \
	int __wrap_##call(type *lock)       \
	{                                   \
		what(lock);                 \
		return __real_##call(lock); \
	}

BEFORE(pthread_mutex_lock, pthread_mutex_t, take)
BEFORE(pthread_mutex_unlock, pthread_mutex_t, let_go)
BEFORE(pthread_mutex_destroy, pthread_mutex_t, forget)
BEFORE(pthread_rwlock_rdlock, pthread_rwlock_t, take)
BEFORE(pthread_rwlock_wrlock, pthread_rwlock_t, take)
BEFORE(pthread_rwlock_unlock, pthread_rwlock_t, let_go)
BEFORE(pthread_rwlock_destroy, pthread_rwlock_t, forget)

int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	int ret = __real_pthread_mutex_trylock(mutex);

	if (!ret)
		push(mutex);
	return ret;
}

int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	int ret;

	begin_waiting(mutex);
	ret = __real_pthread_cond_wait(cond, mutex);
	push(mutex);
	return ret;
}

int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
	const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
	const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
	const struct timespec *until)
{
	int ret;

	begin_waiting(mutex);
	ret = __real_pthread_cond_timedwait(cond, mutex, until);
	push(mutex);
	return ret;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,bugprone-macro-parentheses) */
