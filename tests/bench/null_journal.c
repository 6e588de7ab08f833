/* SPDX-License-Identifier: MIT */
#include "null_journal.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include "null_tree.h"

/* As a segment of ourofs's, and as the head of a record. */
enum { ROOM = 256 << 10, HEAD = 100 };

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t synced_more;
	int fd;
	off_t end;
	off_t room;
	off_t synced;
	bool syncing;
} journal = {.mutex = PTHREAD_MUTEX_INITIALIZER, .synced_more = PTHREAD_COND_INITIALIZER, .fd = -1};

void null_journal_open(const char *path)
{
	journal.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (journal.fd < 0)
		die(path);
}

void null_journal_append(const void *bytes, size_t len)
{
	static char head[HEAD];
	struct iovec parts[] = {{head, HEAD}, {(void *)(uintptr_t)bytes, len}};

	if (journal.fd < 0)
		return;
	pthread_mutex_lock(&journal.mutex);
	while (journal.end + HEAD + (off_t)len > journal.room) {
		if (fallocate(journal.fd, 0, journal.room, ROOM))
			die("fallocate");
		journal.room += ROOM;
	}
	if (pwritev(journal.fd, parts, 2, journal.end) != (ssize_t)(HEAD + len))
		die("pwritev");
	journal.end += HEAD + (off_t)len;
	pthread_mutex_unlock(&journal.mutex);
}

void null_journal_sync(void)
{
	off_t all;

	if (journal.fd < 0)
		return;
	pthread_mutex_lock(&journal.mutex);
	all = journal.end;
	while (journal.synced < all) {
		off_t now = journal.end;

		if (journal.syncing) {
			pthread_cond_wait(&journal.synced_more, &journal.mutex);
			continue;
		}
		journal.syncing = true;
		pthread_mutex_unlock(&journal.mutex);
		if (fdatasync(journal.fd))
			die("fdatasync");
		pthread_mutex_lock(&journal.mutex);
		journal.syncing = false;
		journal.synced = now;
		pthread_cond_broadcast(&journal.synced_more);
	}
	pthread_mutex_unlock(&journal.mutex);
}
