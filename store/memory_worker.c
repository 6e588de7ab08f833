/* SPDX-License-Identifier: MIT */
#include "memory_rewrite.h"
#include "memory_event.h"

#include <errno.h>
#include <string.h>

#include "background.h"
#include "watch.h"
#include "monotonic.h"

/*
 * The worker: memory.edn's thread. It merges what others wrote there and rewrites it with what was
 * changed here. A change from outside that comes in the middle of a rewrite ends it: first that is merged.
 */
enum { TRIES = 4, REST_TIMES = 9, UNWATCHED_LOOK_MS = 1000 };

static bool changed_outside(struct memory *m)
{
	bool changed;

	pthread_rwlock_rdlock(&m->lock);
	changed = ednfile_changed_outside(m->file);
	pthread_rwlock_unlock(&m->lock);
	return changed;
}

static bool is_active(struct memory *m)
{
	bool active;

	pthread_rwlock_rdlock(&m->lock);
	active = m->edn_active;
	pthread_rwlock_unlock(&m->lock);
	return active;
}

static bool take_merge_wanted(struct memory *m)
{
	pthread_mutex_lock(&m->work.pace.mutex);
	m->foreign |= m->work.merge_wanted;
	m->work.merge_wanted = false;
	pthread_mutex_unlock(&m->work.pace.mutex);
	return m->foreign;
}

/* Removed by someone, or set aside: whoever opens it now finds nothing. */
static bool is_missing(struct memory *m)
{
	struct ednfile_info info;

	pthread_rwlock_rdlock(&m->lock);
	ednfile_info(m->file, &info);
	pthread_rwlock_unlock(&m->lock);
	return !info.exists;
}

/* While it rests from writing, what others wrote is merged nevertheless. */
static int attempt_edn(struct memory *m, bool resting, struct err *err)
{
	bool active = is_active(m);
	int ret = active ? replaced_look(m, err) : 0;

	for (int i = 0; !ret && active && i < TRIES; i++) {
		if (take_merge_wanted(m) || changed_outside(m))
			ret = memory_merge(m, NULL, err);
		if (!ret && (!resting || is_missing(m)))
			ret = memory_rewrite(m, i + 1 == TRIES, err);
		if (ret != -EAGAIN)
			break;
		ret = 0;
	}
	/* what was replaced nevertheless is merged now, and written the next time */
	return ret || !active ? ret : replaced_look(m, err);
}

/* When to look again without being told; 0: never. */
static int64_t next_look_ms(const struct memory *m)
{
	int64_t look = replaced_next_ms(m);
	int64_t poll = m->work.watch ? 0 : monotonic_ms() + UNWATCHED_LOOK_MS;

	return poll && (!look || poll < look) ? poll : look;
}

/* Memory need not hold the text of a big memory.edn, which is seldom read where the EAV store is. */
static void put_text_away(struct memory *m)
{
	bool begun;

	if (m->options.read_only || m->dir.dir_fd < 0)
		return;
	pthread_rwlock_wrlock(&m->lock);
	begun = ednfile_put_away_begin(m->file);
	pthread_rwlock_unlock(&m->lock);
	if (!begun)
		return;
	ednfile_put_away(m->file, m->dir.dir_fd);
	pthread_rwlock_wrlock(&m->lock);
	ednfile_put_away_end(m->file);
	pthread_rwlock_unlock(&m->lock);
}

/* On the watch's thread. Our own renames come by here, too. */
static void noticed(void *context, bool replaced)
{
	struct memory *m = context;

	if (replaced || changed_outside(m))
		pace_signal(&m->work.pace, true);
}

/* Without inotify (its limits are the user's) the file is looked at once a second, as is whether there is one now. */
static void begin_watch(struct memory *m)
{
	struct err reason = {0};
	struct watch *watch = NULL;
	int ret;

	if (m->work.watch)
		return;
	ret = watch_new(&watch, noticed, m);
	if (!ret)
		ret = watch_file(watch, m->edn_path);
	if (ret) {
		watch_free(watch);
		err_set(&reason, ret, "%s", strerror(-ret));
	} else {
		m->work.watch = watch;
	}
	memory_fails(m, FAILING_WATCH, &reason);
}

static void *work(void *context)
{
	struct memory *m = context;
	struct attempt attempt;

	background_thread(0);
	while (pace_begin(&m->work.pace, &attempt)) {
		struct err err = {0};
		int ret;

		/* where there was none to be had; first, so that what happened before it is looked for */
		begin_watch(m);
		m->work.waited_ms = 0;
		ret = attempt_edn(m, attempt.resting, &err);
		put_text_away(m);
		memory_resident_trim_background(m);
		attempt.waited_ms = m->work.waited_ms;

		/* what went wrong on the way and was mended is no error */
		if (!ret)
			err = (struct err){0};
		else if (!err.code)
			err_set(&err, ret, "%s", strerror(-ret));
		if (ret || !attempt.resting) /* what could not be written was not tried again */
			memory_fails(m, FAILING_EDN, &err);
		pace_end(&m->work.pace, &attempt, &err, REST_TIMES, next_look_ms(m));
	}
	return NULL;
}

int memory_worker_start(struct memory *m, struct err *err)
{
	begin_watch(m); /* the first attempt may be a long delay away */
	/* what the replay brought is not in memory.edn yet; what happened before the watch began */
	pace_signal(&m->work.pace, !m->work.watch);
	return pace_start(&m->work.pace, work, m, err);
}

int memory_worker_stop(struct memory *m, struct err *err)
{
	int ret = pace_stop(&m->work.pace, err);

	watch_stop(m->work.watch);
	replaced_release(m);
	watch_free(m->work.watch);
	m->work.watch = NULL;
	return ret;
}
