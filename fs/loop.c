/* SPDX-License-Identifier: MIT */
#include "loop_internal.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lock_order.h"
#include "monotonic.h"

/* The one that runs on this thread. */
static _Thread_local struct worker *self;

static void *run_worker(void *context);

/* ---- readers; with the lock held ---- */

struct worker *loop_free_slot(struct loop *loop)
{
	for (unsigned i = 0; i < loop->limits.threads; i++) {
		struct worker *worker = &loop->workers[i];

		if (worker->state != ABSENT)
			continue;
		if (worker->started)
			pthread_join(worker->thread, NULL);
		worker->started = false;
		return worker;
	}
	return NULL;
}

static struct worker *start_worker(struct loop *loop)
{
	struct worker *worker = loop_free_slot(loop);

	if (!worker)
		return NULL;
	worker->aside = false; /* before it can ask */
	if (pthread_create(&worker->thread, NULL, run_worker, worker))
		return NULL;
	worker->started = true;
	return worker;
}

static struct worker *call_parked(struct loop *loop)
{
	struct worker *worker = loop->parked;

	if (worker) {
		loop->parked = worker->below;
		loop->parked_count--;
		worker->aside = false;
		pthread_cond_signal(&worker->called);
	}
	return worker;
}

bool loop_add_reader(struct loop *loop)
{
	struct worker *worker;

	if (loop->stop)
		return false;
	worker = call_parked(loop);
	if (!worker)
		worker = start_worker(loop);
	if (!worker)
		return false;
	worker->state = RUNS;
	loop->readers++;
	return true;
}

void loop_part_with(struct worker *worker)
{
	struct loop *loop = worker->loop;

	worker->aside = true;
	loop->readers--;
	if (loop->readers < loop->wanted)
		(void)loop_add_reader(loop); /* else who has answered first goes on */
}

void loop_stand_aside(void)
{
	if (!self || self->aside)
		return;
	pthread_mutex_lock(&self->loop->lock);
	if (!self->aside)
		loop_part_with(self);
	pthread_mutex_unlock(&self->loop->lock);
}

/* ---- a worker ---- */

/* False: there are no more. */
static bool serve_one(struct worker *worker)
{
	struct loop *loop = worker->loop;
	int cancel;
	int ret;

	linger_for(&worker->linger, fuse_session_fd(loop->session));
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel);
	ret = fuse_session_receive_buf(loop->session, &worker->buf);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (ret == -EINTR)
		return true;
	if (ret <= 0) {
		pthread_mutex_lock(&loop->lock);
		if (ret)
			loop->error = ret;
		pthread_mutex_unlock(&loop->lock);
		fuse_session_exit(loop->session);
		return false;
	}
	/* In this order, and in the other one in the watchdog's rest(): one of both sees the other. */
	atomic_fetch_add(&worker->turn, 1);
	if (loop->resting)
		loop_wake_watchdog(loop);
	fuse_session_process_buf(loop->session, &worker->buf);
	atomic_fetch_add_explicit(&worker->turn, 1, memory_order_release);
	linger_count(&worker->linger, loop->processors > 1 && loop->readers == 1 && !worker->aside);
	return true;
}

/* With the lock held. False: it is not to go on. */
static bool park(struct worker *worker)
{
	struct loop *loop = worker->loop;

	if (loop->stop || loop->readers + loop->parked_count >= loop->limits.idle_threads) {
		worker->state = ABSENT;
		return false;
	}
	worker->state = PARKED;
	worker->below = loop->parked;
	loop->parked = worker;
	loop->parked_count++;
	while (worker->state == PARKED && !loop->stop)
		pthread_cond_wait(&worker->called, &loop->lock);
	return !loop->stop;
}

/* After a request: as a reader, which it may have to become again first. False: it is not to go on. */
static bool goes_on(struct worker *worker)
{
	struct loop *loop = worker->loop;
	bool ret = true;

	if (!atomic_load_explicit(&worker->aside, memory_order_relaxed) &&
		atomic_load_explicit(&loop->readers, memory_order_relaxed) <=
			atomic_load_explicit(&loop->wanted, memory_order_relaxed))
		return true;
	pthread_mutex_lock(&loop->lock);
	if (!worker->aside && loop->readers > loop->wanted) {
		worker->aside = true;
		loop->readers--;
	}
	if (worker->aside && loop->readers < loop->wanted) {
		worker->aside = false;
		loop->readers++;
	} else if (worker->aside) {
		ret = park(worker);
	}
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

static void *run_worker(void *context)
{
	struct worker *worker = context;
	struct loop *loop = worker->loop;
	const uint64_t one = 1;
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	self = worker;
	while (!fuse_session_exited(loop->session))
		if (!serve_one(worker) || !goes_on(worker))
			break;
	if (fuse_session_exited(loop->session))
		(void)!write(loop->ended, &one, sizeof(one));
	return NULL;
}

/* ---- the loop ---- */

static unsigned count_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

static struct loop *loop_new(struct fuse_session *session, const struct loop_limits *limits)
{
	struct loop *loop = calloc(1, sizeof(*loop) + limits->threads * sizeof(*loop->workers));

	if (!loop)
		return NULL;
	loop->ended = eventfd(0, EFD_CLOEXEC);
	if (loop->ended < 0) {
		free(loop);
		return NULL;
	}
	loop->session = session;
	loop->limits = *limits;
	loop->processors = count_processors();
	loop->wanted = 1;
	mutex_init(&loop->lock, LOCK_LOOP);
	monotonic_cond_init(&loop->requests);
	for (unsigned i = 0; i < limits->threads; i++) {
		loop->workers[i].loop = loop;
		pthread_cond_init(&loop->workers[i].called, NULL);
	}
	return loop;
}

static void loop_free(struct loop *loop)
{
	for (unsigned i = 0; i < loop->limits.threads; i++) {
		free(loop->workers[i].buf.mem);
		pthread_cond_destroy(&loop->workers[i].called);
	}
	pthread_cond_destroy(&loop->requests);
	pthread_mutex_destroy(&loop->lock);
	close(loop->ended);
	free(loop);
}

/* Requests that are being served are answered; who waits for one is cancelled. */
static void stop(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->stop = true;
	pthread_cond_signal(&loop->requests);
	for (unsigned i = 0; i < loop->limits.threads; i++) {
		struct worker *worker = &loop->workers[i];

		pthread_cond_signal(&worker->called);
		if (worker->state == RUNS)
			pthread_cancel(worker->thread);
	}
	pthread_mutex_unlock(&loop->lock);
	for (unsigned i = 0; i < loop->limits.threads; i++)
		if (loop->workers[i].started)
			pthread_join(loop->workers[i].thread, NULL);
	pthread_join(loop->watchdog, NULL);
}

static int start(struct loop *loop)
{
	bool started;

	if (pthread_create(&loop->watchdog, NULL, loop_run_watchdog, loop))
		return -EAGAIN;
	pthread_mutex_lock(&loop->lock);
	started = loop_add_reader(loop);
	pthread_mutex_unlock(&loop->lock);
	if (!started)
		stop(loop);
	return started ? 0 : -EAGAIN;
}

static void block_signals(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	pthread_sigmask(SIG_BLOCK, &set, before);
}

/* Signals are taken here alone, and while it waits: none is overlooked between the question and the wait. */
static void wait_for_the_end(struct loop *loop, const sigset_t *signals)
{
	struct pollfd end = {.fd = loop->ended, .events = POLLIN};

	while (!fuse_session_exited(loop->session))
		(void)ppoll(&end, 1, NULL, signals);
}

int loop_run(struct fuse_session *session, const struct loop_limits *limits)
{
	struct loop *loop = loop_new(session, limits);
	sigset_t before;
	int ret;

	if (!loop)
		return -ENOMEM;
	block_signals(&before); /* workers inherit it */
	ret = start(loop);
	if (!ret) {
		wait_for_the_end(loop, &before);
		stop(loop);
		ret = loop->error;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	loop_free(loop);
	return ret;
}
