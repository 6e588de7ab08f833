/* SPDX-License-Identifier: MIT */
#include "notify.h"
#include "timed.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct notice {
	struct notice *next;
	fuse_ino_t parent;
	struct notice_answer answer;
	size_t name_len;
	char name[];
};

struct notifier {
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct notice *first; /* guarded by lock, as all below */
	struct notice **last;
	bool stop;
};

static void send_answer(const struct notice_answer *answer)
{
	if (answer->kind == NOTICE_ERROR)
		fuse_reply_err(answer->req, answer->error);
	else if (answer->kind == NOTICE_ATTRIBUTES)
		fuse_reply_attr(answer->req, &answer->st, answer->timeout);
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
	}
	pthread_mutex_unlock(&notifier->lock);
	return notice;
}

static void *run(void *context)
{
	struct notifier *notifier = context;
	struct notice *notice;

	while ((notice = take(notifier))) {
		/* -ENOENT: the kernel did not have it, which is as good. */
		(void)fuse_lowlevel_notify_inval_entry(notifier->session, notice->parent,
			notice->name, notice->name_len);
		send_answer(&notice->answer);
		free(notice);
	}
	return NULL;
}

int notifier_new(struct notifier **out, struct fuse_session *session)
{
	struct notifier *notifier = calloc(1, sizeof(*notifier));
	int ret;

	if (!notifier)
		return -ENOMEM;
	notifier->session = session;
	notifier->last = &notifier->first;
	pthread_mutex_init(&notifier->lock, NULL);
	pthread_cond_init(&notifier->some, NULL);
	ret = pthread_create(&notifier->thread, NULL, run, notifier);
	if (ret) {
		free(notifier);
		return -ret;
	}
	*out = notifier;
	return 0;
}

void notifier_free(struct notifier *notifier)
{
	if (!notifier)
		return;
	pthread_mutex_lock(&notifier->lock);
	notifier->stop = true;
	pthread_cond_signal(&notifier->some);
	pthread_mutex_unlock(&notifier->lock);
	pthread_join(notifier->thread, NULL);
	pthread_cond_destroy(&notifier->some);
	pthread_mutex_destroy(&notifier->lock);
	free(notifier);
}

void notifier_entry(struct notifier *notifier, fuse_ino_t parent, struct slice name,
	const struct notice_answer *answer)
{
	struct notice *notice = malloc(sizeof(*notice) + name.len + 1);

	if (answer->kind == NOTICE_ERROR)
		timed_result(answer->req, answer->error);
	if (!notice) {
		send_answer(answer);
		return;
	}
	notice->next = NULL;
	notice->parent = parent;
	notice->answer = *answer;
	notice->name_len = name.len;
	memcpy(notice->name, name.ptr, name.len);
	notice->name[name.len] = '\0';
	pthread_mutex_lock(&notifier->lock);
	*notifier->last = notice;
	notifier->last = &notice->next;
	pthread_cond_signal(&notifier->some);
	pthread_mutex_unlock(&notifier->lock);
}
