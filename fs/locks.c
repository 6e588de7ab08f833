/* SPDX-License-Identifier: MIT */
#include "locks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>

#include "lock_order.h"
#include "lock_table.h"

/*
 * A request that waits is in the list of waiters and belongs to whoever takes it out, under the
 * mutex: the thread that frees the lock, the one that handles the caller's interrupt, or
 * locks_stop. That one answers it, once, after the mutex is let go.
 *
 * Lock order: libfuse's mutex of a request (held around on_interrupt), then ours, then libfuse's mutex
 * of the session (taken by fuse_req_interrupted).
 */
struct waiter {
	struct waiter *next;  /* older before newer; or of those to be answered */
	struct waiter *queue; /* of a search for deadlocks */
	bool reached;         /* by the search under way */
	int answer;           /* a negative errno or 0 */
	fuse_req_t req;
	struct lock_want want;
};

struct locks {
	pthread_mutex_t mutex;
	struct lock_table table; /* guarded by mutex */
	struct waiter *waiters;  /* guarded by mutex */
	bool stopped;            /* guarded by mutex */
	atomic_bool used;        /* has there ever been a lock? spares everyone else the mutex */
};

/* Steps of one search for deadlocks, of a nanosecond or some: beyond, waiting is what one gets. */
enum { SEARCH_STEPS = 1 << 20 };

int locks_new(struct locks **locks)
{
	struct locks *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	mutex_init(&made->mutex, LOCK_LOCKS);
	*locks = made;
	return 0;
}

static void answer_all(struct waiter *waiter)
{
	while (waiter) {
		struct waiter *next = waiter->next;
		fuse_reply_err(waiter->req, -waiter->answer);
		free(waiter);
		waiter = next;
	}
}

/* Moves *link to the front of the list of those to be answered. */
static void move(struct waiter **link, struct waiter **answered, int answer)
{
	struct waiter *waiter = *link;

	*link = waiter->next;
	waiter->answer = answer;
	waiter->next = *answered;
	*answered = waiter;
}

void locks_stop(struct locks *locks)
{
	struct waiter *answered = NULL;

	pthread_mutex_lock(&locks->mutex);
	locks->stopped = true;
	while (locks->waiters)
		move(&locks->waiters, &answered, -ENOLCK);
	pthread_mutex_unlock(&locks->mutex);
	answer_all(answered);
}

void locks_free(struct locks *locks)
{
	if (!locks)
		return;
	while (locks->waiters) {
		struct waiter *next = locks->waiters->next;
		free(locks->waiters);
		locks->waiters = next;
	}
	lock_table_release(&locks->table);
	pthread_mutex_destroy(&locks->mutex);
	free(locks);
}

/* ---- deadlocks ---- */

struct search {
	struct locks *locks;
	uint64_t
		owner; /* who wants to wait: if anyone it would wait for waits for it, all wait for ever */
	struct waiter *first;
	struct waiter **last;
	unsigned steps;
};

/* Queues everyone who waits on behalf of owner. False: enough is enough. */
static bool reach_owner(struct search *search, uint64_t owner)
{
	for (struct waiter *waiter = search->locks->waiters; waiter; waiter = waiter->next) {
		if (++search->steps > SEARCH_STEPS)
			return false;
		if (waiter->reached || waiter->want.kind != LOCK_FCNTL ||
			waiter->want.range.owner != owner)
			continue;
		waiter->reached = true;
		waiter->queue = NULL;
		*search->last = waiter;
		search->last = &waiter->queue;
	}
	return true;
}

/* Does any holder of what is wanted wait, directly or by way of others, for search->owner? */
static bool leads_back(struct search *search, const struct lock_want *want)
{
	const struct lock_table *table = &search->locks->table;
	const struct lock_range *held = NULL;

	while ((held = lock_table_conflict(table, want, held))) {
		if (held->owner == search->owner)
			return true;
		if (!reach_owner(search, held->owner))
			return false;
	}
	return false;
}

static bool would_deadlock(struct locks *locks, const struct lock_want *want)
{
	struct search search = {.locks = locks, .owner = want->range.owner};
	bool found;

	if (want->kind != LOCK_FCNTL)
		return false;
	search.last = &search.first;
	for (struct waiter *waiter = locks->waiters; waiter; waiter = waiter->next)
		waiter->reached = false;
	found = leads_back(&search, want);
	for (struct waiter *waiter = search.first; waiter && !found; waiter = waiter->queue)
		found = leads_back(&search, &waiter->want);
	return found;
}

/* ---- taking and giving, under the mutex ---- */

/* 0, -EAGAIN while others keep it out, -ENOLCK. */
static int take(struct locks *locks, const struct lock_want *want, bool *loosened)
{
	const struct lock_range *own;

	if (want->kind == LOCK_FLOCK) {
		own = lock_table_own(&locks->table, want);
		if (own && own->type == want->range.type)
			return 0;
		if (own) /* lost even if the new one can't be had, as Linux does it */
			*loosened = lock_table_drop(&locks->table, want->kind, want->ino,
				want->range.owner);
	}
	if (want->range.type != F_UNLCK && lock_table_conflict(&locks->table, want, NULL))
		return -EAGAIN;
	return lock_table_set(&locks->table, want, loosened);
}

/* Gives what came free to those who wait for it, the oldest first. */
static void serve_waiters(struct locks *locks, uint64_t ino, struct waiter **answered)
{
	struct waiter **link = &locks->waiters;

	while (*link) {
		bool loosened = false;
		int ret = -EAGAIN;

		if ((*link)->want.ino == ino)
			ret = take(locks, &(*link)->want, &loosened);
		if (ret == -EAGAIN)
			link = &(*link)->next;
		else
			move(link, answered, ret);
		if (loosened) /* it had more before: someone passed over may be next now */
			link = &locks->waiters;
	}
}

/*
 * The caller's interrupt. libfuse calls this with the request's mutex held, either from the thread that
 * reads INTERRUPT (and the request then outlives its answer) or from fuse_req_interrupt_func, where
 * nothing is in the list yet: there must not be an answer then, it would free the request under
 * libfuse. data is not the waiter, which may have been answered and freed by another thread.
 */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct locks *locks = data;
	struct waiter *answered = NULL;
	struct waiter **link = &locks->waiters;

	pthread_mutex_lock(&locks->mutex);
	while (*link && (*link)->req != req)
		link = &(*link)->next;
	if (*link)
		move(link, &answered, -EINTR);
	pthread_mutex_unlock(&locks->mutex);
	answer_all(answered);
}

/* 0: the waiter is in the list, and the request no longer the caller's. */
static int enqueue(struct locks *locks, struct waiter *waiter)
{
	struct waiter **link = &locks->waiters;

	if (locks->stopped)
		return -ENOLCK;
	if (fuse_req_interrupted(
		    waiter->req)) /* after this look, on_interrupt finds it in the list */
		return -EINTR;
	if (would_deadlock(locks, &waiter->want))
		return -EDEADLK;
	while (*link)
		link = &(*link)->next;
	waiter->next = NULL;
	*link = waiter;
	return 0;
}

static void ask(struct locks *locks, fuse_req_t req, const struct lock_want *want, bool sleep)
{
	struct waiter *waiter = NULL;
	struct waiter *answered = NULL;
	bool loosened = false;
	bool queued = false;
	int ret;

	if (sleep && want->range.type != F_UNLCK) {
		waiter = malloc(sizeof(*waiter));
		if (!waiter) {
			fuse_reply_err(req, ENOLCK);
			return;
		}
		*waiter = (struct waiter){.req = req, .want = *want};
		fuse_req_interrupt_func(req, on_interrupt, locks);
	}
	atomic_store(&locks->used, true);
	pthread_mutex_lock(&locks->mutex);
	ret = take(locks, want, &loosened);
	if (ret == -EAGAIN && waiter) {
		ret = enqueue(locks, waiter);
		queued = ret == 0;
	}
	if (loosened)
		serve_waiters(locks, want->ino, &answered);
	pthread_mutex_unlock(&locks->mutex);
	answer_all(answered);
	if (queued)
		return;
	free(waiter);
	fuse_reply_err(req, -ret);
}

/* ---- what FUSE asks ---- */

void locks_flock(struct locks *locks, fuse_req_t req, uint64_t ino, uint64_t handle, int op)
{
	struct lock_want want = {.kind = LOCK_FLOCK,
		.ino = ino,
		.range = {.owner = handle, .handle = handle, .start = 0, .end = INT64_MAX}};

	switch (op & ~LOCK_NB) {
	case LOCK_SH:
		want.range.type = F_RDLCK;
		break;
	case LOCK_EX:
		want.range.type = F_WRLCK;
		break;
	case LOCK_UN:
		want.range.type = F_UNLCK;
		break;
	default:
		fuse_reply_err(req, EINVAL);
		return;
	}
	ask(locks, req, &want, !(op & LOCK_NB));
}

/* 0 or -EINVAL. The kernel has done this already; it is not taken on trust. */
static int read_want(struct lock_want *want, uint64_t ino, uint64_t owner, const struct flock *lock)
{
	if (lock->l_type != F_RDLCK && lock->l_type != F_WRLCK && lock->l_type != F_UNLCK)
		return -EINVAL;
	if (lock->l_start < 0 || lock->l_len < 0 ||
		(lock->l_len && lock->l_start > INT64_MAX - (lock->l_len - 1)))
		return -EINVAL;
	*want = (struct lock_want){
		.kind = LOCK_FCNTL,
		.ino = ino,
		.range =
			{
				.owner = owner,
				.start = lock->l_start,
				.end = lock->l_len ? lock->l_start + (lock->l_len - 1) : INT64_MAX,
				.pid = lock->l_pid,
				.type = lock->l_type,
			},
	};
	return 0;
}

void locks_getlk(struct locks *locks, fuse_req_t req, uint64_t ino, uint64_t owner,
	const struct flock *lock)
{
	struct flock found = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
	const struct lock_range *range;
	struct lock_want want;

	if (read_want(&want, ino, owner, lock)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	pthread_mutex_lock(&locks->mutex);
	range = lock_table_conflict(&locks->table, &want, NULL);
	if (range) {
		found.l_type = range->type;
		found.l_start = range->start;
		found.l_len = range->end == INT64_MAX ? 0 : range->end - range->start + 1;
		found.l_pid = range->pid;
	}
	pthread_mutex_unlock(&locks->mutex);
	fuse_reply_lock(req, &found);
}

void locks_setlk(struct locks *locks, fuse_req_t req, uint64_t ino, uint64_t owner, uint64_t handle,
	const struct flock *lock, int sleep)
{
	struct lock_want want;

	if (read_want(&want, ino, owner, lock)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	want.range.handle = handle;
	ask(locks, req, &want, sleep);
}

void locks_drop_posix(struct locks *locks, uint64_t ino, uint64_t owner)
{
	struct waiter *answered = NULL;

	if (!atomic_load(&locks->used))
		return;
	pthread_mutex_lock(&locks->mutex);
	if (lock_table_drop(&locks->table, LOCK_FCNTL, ino, owner))
		serve_waiters(locks, ino, &answered);
	pthread_mutex_unlock(&locks->mutex);
	answer_all(answered);
}

void locks_drop_handle(struct locks *locks, uint64_t ino, uint64_t handle)
{
	struct waiter *answered = NULL;

	if (!atomic_load(&locks->used))
		return;
	pthread_mutex_lock(&locks->mutex);
	if (lock_table_drop_handle(&locks->table, ino, handle))
		serve_waiters(locks, ino, &answered);
	pthread_mutex_unlock(&locks->mutex);
	answer_all(answered);
}
