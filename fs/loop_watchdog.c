/* SPDX-License-Identifier: MIT */
#include "loop_internal.h"

#include <errno.h>
#include <sys/resource.h>

#include "monotonic.h"

enum {
	TICK_MS = 2, /* a request that is there at two of the watchdog's looks takes long */
	WINDOW = 16, /* looks, after which there are more readers, or fewer */
};

/* ---- with the lock held ---- */

/* How many readers are at work; those that have been for long are none any more. */
static unsigned look_at_workers(struct loop *loop, bool *requests)
{
	unsigned working = 0;

	for (unsigned i = 0; i < loop->limits.threads; i++) {
		struct worker *worker = &loop->workers[i];
		unsigned turn = worker->turn;

		if (turn != worker->seen)
			*requests = true;
		if (turn % 2 && !worker->aside) {
			working++;
			if (turn == worker->seen)
				loop_part_with(worker);
		}
		worker->seen = turn;
	}
	return working;
}

/* Has anything of the process waited for the disk since the last time? */
static bool reads_disk(struct loop *loop)
{
	struct rusage used;
	bool ret;

	getrusage(RUSAGE_SELF, &used);
	ret = used.ru_inblock != loop->read_blocks;
	loop->read_blocks = used.ru_inblock;
	return ret;
}

/* As many readers as have work, at the end of a window. */
static void adapt(struct loop *loop)
{
	bool disk = reads_disk(loop);
	unsigned most = disk ? loop->limits.threads : (loop->processors + 1) / 2;

	if (loop->full >= WINDOW * 3 / 4 && loop->wanted < most) {
		loop->wanted++;
		if (loop->readers < loop->wanted)
			(void)loop_add_reader(loop);
	} else if (loop->wanted > 1 && (loop->full < WINDOW / 4 || loop->wanted > most)) {
		loop->wanted--;
	}
	loop->looks = loop->full = 0;
}

/* Returns whether there were requests since the last time, or there may be some that nobody reads. */
static bool look(struct loop *loop)
{
	bool requests = false;
	unsigned readers = loop->readers;
	unsigned working = look_at_workers(loop, &requests);

	/* where no thread could be started there is no other occasion to try again */
	if (loop->readers < loop->wanted && !loop_add_reader(loop))
		requests |= loop_free_slot(loop) != NULL;
	loop->full += working >= readers;
	if (++loop->looks == WINDOW)
		adapt(loop);
	return requests;
}

static void wait_a_tick(struct loop *loop)
{
	const int64_t until_ns = monotonic_ns() + TICK_MS * 1000000LL;

	while (!loop->stop &&
		monotonic_cond_wait(&loop->requests, &loop->lock, until_ns) != ETIMEDOUT)
		;
}

/* Until a request comes: also one that came while this was said. */
static void rest(struct loop *loop)
{
	bool requests = false;

	loop->resting = true;
	(void)look_at_workers(loop, &requests);
	while (loop->resting && !requests && !loop->stop)
		pthread_cond_wait(&loop->requests, &loop->lock);
	loop->resting = false;
}

void *loop_run_watchdog(void *context)
{
	struct loop *loop = context;

	pthread_mutex_lock(&loop->lock);
	while (!loop->stop) {
		wait_a_tick(loop);
		if (!look(loop))
			rest(loop);
	}
	pthread_mutex_unlock(&loop->lock);
	return NULL;
}

void loop_wake_watchdog(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->resting = false;
	pthread_cond_signal(&loop->requests);
	pthread_mutex_unlock(&loop->lock);
}
