/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { NAMES_MAX = 2 };

static const uint32_t DIRECTORY_EVENTS = IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM |
					 IN_CREATE | IN_DELETE | IN_ATTRIB;
static const uint32_t INODE_EVENTS = IN_CLOSE_WRITE | IN_MODIFY;

/* A name in a directory that is watched. */
struct name {
	int number;
	char *text;
};

struct watch {
	watch_fn *fn;
	void *context;
	int inotify;
	int end; /* an eventfd: the thread is to end */
	bool running;
	pthread_t thread;
	struct name names[NAMES_MAX]; /* set before the thread starts */
	int count;
};

static bool is_name(const struct watch *w, const struct inotify_event *event)
{
	for (int i = 0; i < w->count; i++) {
		if (event->wd == w->names[i].number && event->len &&
			strcmp(event->name, w->names[i].text) == 0)
			return true;
	}
	return false;
}

static bool is_directory(const struct watch *w, int number)
{
	for (int i = 0; i < w->count; i++) {
		if (number == w->names[i].number)
			return true;
	}
	return false;
}

static void read_events(struct watch *w)
{
	_Alignas(struct inotify_event) char events[16384];
	ssize_t len = read(w->inotify, events, sizeof(events));
	bool name = false, inode = false;

	for (char *at = events; len > 0 && at < events + len;) {
		const struct inotify_event *event = (const struct inotify_event *)(void *)at;

		at += sizeof(*event) + event->len;
		/* of a queue that ran over nobody knows what was in it */
		if (event->mask & IN_Q_OVERFLOW)
			name = inode = true;
		else if (is_name(w, event))
			name = true;
		else if (!is_directory(w, event->wd) && (event->mask & INODE_EVENTS))
			inode = true;
	}
	if (name || inode)
		w->fn(w->context, inode);
}

static void *run(void *context)
{
	struct watch *w = context;
	struct pollfd fds[] = {
		{.fd = w->inotify, .events = POLLIN}, {.fd = w->end, .events = POLLIN}};

	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		if (fds[1].revents)
			break;
		if (fds[0].revents & POLLIN)
			read_events(w);
	}
	return NULL;
}

int watch_new(struct watch **watch, watch_fn *fn, void *context)
{
	struct watch *w = calloc(1, sizeof(*w));
	int ret = 0;

	if (!w)
		return -ENOMEM;
	w->fn = fn;
	w->context = context;
	w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	w->end = eventfd(0, EFD_CLOEXEC);
	if (w->inotify < 0 || w->end < 0)
		ret = -errno;
	if (ret)
		watch_free(w);
	else
		*watch = w;
	return ret;
}

/* Takes over path. */
static int add_name(struct watch *w, char *path)
{
	char *slash = strrchr(path, '/');
	int number;

	if (!slash || w->count == NAMES_MAX) {
		free(path);
		return -EINVAL;
	}
	*slash = '\0';
	number = inotify_add_watch(w->inotify, slash == path ? "/" : path, DIRECTORY_EVENTS);
	if (number < 0) {
		int ret = -errno;

		free(path);
		return ret;
	}
	memmove(path, slash + 1, strlen(slash + 1) + 1);
	w->names[w->count++] = (struct name){number, path};
	return 0;
}

int watch_file(struct watch *w, const char *path)
{
	char *absolute = strdup(path);
	char *real = realpath(path, NULL);
	int ret = absolute ? add_name(w, absolute) : -ENOMEM;

	if (!ret && real && strcmp(real, path) != 0)
		ret = add_name(w, real);
	else
		free(real);
	if (ret)
		return ret;
	ret = pthread_create(&w->thread, NULL, run, w);
	w->running = !ret;
	return -ret;
}

int watch_inode(struct watch *w, int fd)
{
	char path[64];
	int number;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	number = inotify_add_watch(w->inotify, path, INODE_EVENTS);
	return number < 0 ? -errno : number;
}

void watch_drop(struct watch *w, int number)
{
	inotify_rm_watch(w->inotify, number);
}

void watch_stop(struct watch *w)
{
	uint64_t one = 1;

	if (!w || !w->running)
		return;
	if (write(w->end, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(w->thread, NULL);
	w->running = false;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	watch_stop(w);
	if (w->inotify >= 0)
		close(w->inotify);
	if (w->end >= 0)
		close(w->end);
	for (int i = 0; i < w->count; i++)
		free(w->names[i].text);
	free(w);
}
