/* SPDX-License-Identifier: MIT */
#include "notify.h"
#include "timed.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "lock_order.h"
#include "monotonic.h"

enum { PATIENCE_MS = 100 };

struct notice {
	struct notice *next;
	bool answered; /* guarded by lock */
	fuse_ino_t parent;
	struct notice_answer answer;
	size_t name_len;
	char name[];
};

struct notifier {
	struct fuse_session *session;
	notice_told_fn *told;
	void *context;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct notice *first; /* guarded by lock, as all below */
	struct notice **last;
	struct notice *current; /* the kernel is being told of it */
	uint64_t begun;         /* how many there were */
	size_t unheard;         /* how many there are that answer nobody */
	bool stop;
	pthread_t watch;
	pthread_cond_t busy;
	bool resting; /* the watch waits for busy */
	bool over;    /* the thread has ended */
};

static void send_answer(const struct notice_answer *answer)
{
	if (answer->kind == NOTICE_ERROR)
		fuse_reply_err(answer->req, answer->error);
	else if (answer->kind == NOTICE_ATTRIBUTES)
		fuse_reply_attr(answer->req, &answer->st, answer->timeout);
}

/* With the lock held. */
static void answer_once(struct notice *notice)
{
	if (notice && !notice->answered) {
		notice->answered = true;
		send_answer(&notice->answer);
	}
}

static struct notice *take(struct notifier *notifier)
{
	struct notice *notice;

	pthread_mutex_lock(&notifier->lock);
	while (!notifier->first && !notifier->stop)
		pthread_cond_wait(&notifier->some, &notifier->lock);
	notice = notifier->first;
	if (notice) {
		notifier->first = notice->next;
		if (!notifier->first)
			notifier->last = &notifier->first;
		notifier->begun++;
	}
	notifier->current = notice;
	if (notice && notifier->resting)
		pthread_cond_signal(&notifier->busy);
	pthread_mutex_unlock(&notifier->lock);
	return notice;
}

static void end(struct notifier *notifier, struct notice *notice)
{
	pthread_mutex_lock(&notifier->lock);
	notifier->current = NULL;
	if (notice->answer.kind == NOTICE_NONE)
		notifier->unheard--;
	answer_once(notice);
	pthread_mutex_unlock(&notifier->lock);
	free(notice);
}

static void *run(void *context)
{
	struct notifier *notifier = context;
	struct notice *notice;

	while ((notice = take(notifier))) {
		/* -ENOENT: the kernel did not have it, which is as good. */
		(void)fuse_lowlevel_notify_inval_entry(notifier->session, notice->parent,
			notice->name, notice->name_len);
		notifier->told(notifier->context, notice->parent);
		end(notifier, notice);
	}
	return NULL;
}

/* With the lock held: for a while, or until the end. */
static void wait_a_while(struct notifier *notifier)
{
	const int64_t until_ns = monotonic_ns() + PATIENCE_MS * 1000000LL;

	while (!notifier->over &&
		monotonic_cond_wait(&notifier->busy, &notifier->lock, until_ns) != ETIMEDOUT)
		;
}

/* Sleeps while nothing happens; while something does it looks now and then. */
static void *watch(void *context)
{
	struct notifier *notifier = context;
	uint64_t seen = 0;

	pthread_mutex_lock(&notifier->lock);
	while (!notifier->over) {
		if (!notifier->current) {
			notifier->resting = true;
			pthread_cond_wait(&notifier->busy, &notifier->lock);
			notifier->resting = false;
			continue;
		}
		if (notifier->begun == seen) {
			answer_once(notifier->current);
			for (struct notice *notice = notifier->first; notice; notice = notice->next)
				answer_once(notice);
		}
		seen = notifier->begun;
		wait_a_while(notifier);
	}
	pthread_mutex_unlock(&notifier->lock);
	return NULL;
}

static void init(struct notifier *notifier, struct fuse_session *session)
{
	notifier->session = session;
	notifier->last = &notifier->first;
	mutex_init(&notifier->lock, LOCK_NOTIFIER);
	pthread_cond_init(&notifier->some, NULL);
	monotonic_cond_init(&notifier->busy);
}

static void release(struct notifier *notifier)
{
	pthread_cond_destroy(&notifier->busy);
	pthread_cond_destroy(&notifier->some);
	pthread_mutex_destroy(&notifier->lock);
	free(notifier);
}

static void end_thread(struct notifier *notifier, bool *flag, pthread_cond_t *wake,
	pthread_t thread)
{
	pthread_mutex_lock(&notifier->lock);
	*flag = true;
	pthread_cond_signal(wake);
	pthread_mutex_unlock(&notifier->lock);
	pthread_join(thread, NULL);
}

int notifier_new(struct notifier **out, struct fuse_session *session, notice_told_fn *told,
	void *context)
{
	struct notifier *notifier = calloc(1, sizeof(*notifier));
	int ret;

	if (!notifier)
		return -ENOMEM;
	init(notifier, session);
	notifier->told = told;
	notifier->context = context;
	ret = pthread_create(&notifier->watch, NULL, watch, notifier);
	if (ret) {
		release(notifier);
		return -ret;
	}
	ret = pthread_create(&notifier->thread, NULL, run, notifier);
	if (ret) {
		end_thread(notifier, &notifier->over, &notifier->busy, notifier->watch);
		release(notifier);
		return -ret;
	}
	*out = notifier;
	return 0;
}

void notifier_free(struct notifier *notifier)
{
	if (!notifier)
		return;
	end_thread(notifier, &notifier->stop, &notifier->some, notifier->thread);
	/* last: until here someone may wait */
	end_thread(notifier, &notifier->over, &notifier->busy, notifier->watch);
	release(notifier);
}

int notifier_entry(struct notifier *notifier, fuse_ino_t parent, struct slice name,
	const struct notice_answer *answer)
{
	struct notice *notice = malloc(sizeof(*notice) + name.len + 1);

	if (answer->kind == NOTICE_ERROR)
		timed_result(answer->req, answer->error);
	if (!notice) {
		send_answer(answer);
		return -ENOMEM;
	}
	notice->next = NULL;
	notice->answered = false;
	notice->parent = parent;
	notice->answer = *answer;
	notice->name_len = name.len;
	memcpy(notice->name, name.ptr, name.len);
	notice->name[name.len] = '\0';
	pthread_mutex_lock(&notifier->lock);
	*notifier->last = notice;
	notifier->last = &notice->next;
	if (answer->kind == NOTICE_NONE)
		notifier->unheard++;
	pthread_cond_signal(&notifier->some);
	pthread_mutex_unlock(&notifier->lock);
	return 0;
}

bool notifier_is_behind(struct notifier *notifier)
{
	bool behind;

	pthread_mutex_lock(&notifier->lock);
	behind = notifier->unheard > 0;
	pthread_mutex_unlock(&notifier->lock);
	return behind;
}
