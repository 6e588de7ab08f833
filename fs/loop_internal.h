/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LOOP_INTERNAL_H
#define OUROFS_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "linger.h"
#include "loop.h"

/* What the loop's two files share; see loop.h. */

enum worker_state { ABSENT, RUNS, PARKED };

struct worker {
	struct loop *loop;
	pthread_t thread;
	struct fuse_buf buf; /* its memory is libfuse's to make */
	atomic_uint turn;    /* odd while it serves a request */
	atomic_bool aside;   /* it is no reader; set under the lock */
	struct linger linger;
	pthread_cond_t called;
	bool started; /* guarded by loop->lock, as below: to be joined */
	enum worker_state state;
	struct worker *below; /* parked before it */
	unsigned seen;        /* its turn at the watchdog's last look */
};

struct loop {
	struct fuse_session *session;
	struct loop_limits limits;
	unsigned processors;
	int ended; /* an eventfd: a worker has seen the end of the session */
	pthread_mutex_t lock;
	atomic_uint readers; /* set under the lock, both */
	atomic_uint wanted;
	/* The last that was parked, whose caches are the warmest; guarded by lock, as below. */
	struct worker *parked;
	unsigned parked_count;
	int error;
	bool stop;
	pthread_t watchdog;
	pthread_cond_t requests; /* for the watchdog: they come again, or stop */
	atomic_bool resting;     /* the watchdog; set under the lock */
	unsigned looks;          /* the watchdog's, as below */
	unsigned full;           /* of them, with all readers at work */
	long read_blocks;
	struct worker workers[];
};

/* ---- loop.c; with the lock held ---- */

/* Where a thread could be started, or NULL. */
struct worker *loop_free_slot(struct loop *loop);
/* False: there are as many threads as there may be, or can be. */
bool loop_add_reader(struct loop *loop);
/* It is no reader any more; another one is, where one is wanted. */
void loop_part_with(struct worker *worker);

/* ---- loop_watchdog.c ---- */

/* A thread, of a loop: looks at the readers as long as requests come. */
void *loop_run_watchdog(void *context);
/* A request came, and it rests. */
void loop_wake_watchdog(struct loop *loop);

#endif
