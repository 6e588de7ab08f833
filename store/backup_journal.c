/* SPDX-License-Identifier: MIT */
#include "backup_journal.h"

#include "copy_tree.h"
#include "journal_format.h"
#include "regular.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

struct backup_segment {
	uint64_t first; /* number of its first record */
	int fd;
};

static int fail(struct err *err, const char *path, int ret)
{
	return err_set(err, ret, "%s: %s", path, strerror(-ret));
}

/* ---- holding; with mutex held ---- */

static bool is_held(const struct backup_journal *journal, uint64_t first)
{
	for (size_t i = 0; i < journal->count; i++)
		if (journal->segments[i].first == first)
			return true;
	return false;
}

/* What is set aside beside the segments is of no use to a mount. */
static int hold(struct backup_journal *journal, const char *name)
{
	uint64_t first;
	int fd;

	if (!journal_segment_first(name, &first) || is_held(journal, first))
		return 0;
	if (journal->count == journal->cap) {
		size_t cap = journal->cap ? journal->cap * 2 : 16;
		void *more = reallocarray(journal->segments, cap, sizeof(*journal->segments));

		if (!more)
			return -ENOMEM;
		journal->segments = more;
		journal->cap = cap;
	}
	fd = regular_open(journal->dir_fd, name, O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	journal->segments[journal->count++] = (struct backup_segment){first, fd};
	return 0;
}

static int hold_all(struct backup_journal *journal)
{
	int fd = openat(journal->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int ret = 0;

	if (!dir) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return ret;
	}
	while (!ret && (entry = readdir(dir)))
		ret = hold(journal, entry->d_name);
	closedir(dir);
	return ret;
}

/* ---- as they come ---- */

static void hold_new(struct backup_journal *journal)
{
	_Alignas(struct inotify_event) char events[16384];
	ssize_t got = read(journal->notify_fd, events, sizeof(events));
	int ret = 0;

	pthread_mutex_lock(&journal->mutex);
	for (ssize_t at = 0; !ret && at < got;) {
		const struct inotify_event *event = (const void *)(events + at);

		if (event->mask & IN_Q_OVERFLOW)
			ret = hold_all(journal);
		else if (event->len)
			ret = hold(journal, event->name);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	if (ret)
		journal->error = ret;
	pthread_mutex_unlock(&journal->mutex);
}

static void *follow(void *context)
{
	struct backup_journal *journal = context;
	struct pollfd ends[] = {
		{.fd = journal->stop_fd, .events = POLLIN},
		{.fd = journal->notify_fd, .events = POLLIN},
	};

	while (poll(ends, 2, -1) >= 0 || errno == EINTR) {
		if (ends[0].revents)
			break;
		if (ends[1].revents)
			hold_new(journal);
	}
	return NULL;
}

/* As many as the system lets us have: each held segment is one. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int backup_journal_hold(struct backup_journal *journal, const char *path, struct err *err)
{
	int ret = 0;

	*journal = (struct backup_journal){.path = path};
	pthread_mutex_init(&journal->mutex, NULL);
	raise_limit();
	journal->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	journal->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	journal->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (journal->dir_fd < 0 || journal->notify_fd < 0 || journal->stop_fd < 0 ||
		inotify_add_watch(journal->notify_fd, path, IN_CREATE | IN_MOVED_TO) < 0)
		ret = -errno;
	if (!ret)
		ret = -pthread_create(&journal->thread, NULL, follow, journal);
	journal->running = !ret;
	if (!ret) {
		pthread_mutex_lock(&journal->mutex);
		ret = hold_all(journal);
		pthread_mutex_unlock(&journal->mutex);
	}
	return ret ? fail(err, path, ret) : 0;
}

/* ---- copying ---- */

static int by_first(const void *a, const void *b)
{
	const struct backup_segment *x = a;
	const struct backup_segment *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static void stop(struct backup_journal *journal)
{
	uint64_t one = 1;

	if (!journal->running)
		return;
	if (write(journal->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(journal->thread, NULL);
	journal->running = false;
}

int backup_journal_copy(struct backup_journal *journal, uint64_t watermark, int to_fd,
	struct err *err)
{
	size_t from = 0;
	int ret;

	stop(journal);
	ret = journal->error ? journal->error : hold_all(journal);
	if (ret)
		return fail(err, journal->path, ret);
	if (journal->count)
		qsort(journal->segments, journal->count, sizeof(*journal->segments), by_first);
	/* what both stores have of it is needed no more, and may lie behind a gap */
	while (from + 1 < journal->count && journal->segments[from + 1].first <= watermark + 1)
		from++;
	for (; !ret && from < journal->count; from++) {
		char name[JOURNAL_NAME_SIZE];

		journal_segment_name(name, journal->segments[from].first);
		ret = copy_file(journal->segments[from].fd, to_fd, name, err);
	}
	return ret;
}

void backup_journal_release(struct backup_journal *journal)
{
	if (!journal->path)
		return;
	stop(journal);
	while (journal->count)
		close(journal->segments[--journal->count].fd);
	free(journal->segments);
	if (journal->dir_fd >= 0)
		close(journal->dir_fd);
	if (journal->notify_fd >= 0)
		close(journal->notify_fd);
	if (journal->stop_fd >= 0)
		close(journal->stop_fd);
	pthread_mutex_destroy(&journal->mutex);
	*journal = (struct backup_journal){0};
}
