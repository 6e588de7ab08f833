/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JOURNAL_PRIVATE_H
#define OUROFS_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>

#include "journal_format.h"

struct segment {
	uint64_t first;
	uint64_t last; /* first - 1 while it holds no record */
	uint64_t bytes;
	int fd; /* -1 once it is synced and nothing more comes */
	/*
	 * A sync of it failed: what of it is on disk nobody knows any more, since a later sync that succeeds says
	 * nothing of pages that the kernel gave up. It gets no more records.
	 */
	bool failed;
};

struct journal {
	int dir_fd; /* of STORE/journal */
	/* of the one writer */
	uint64_t last_start;   /* where the record appended last begins */
	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t sync_done;
	struct segment *segments; /* ascending */
	size_t count, cap;
	bool current;   /* the last segment takes records */
	bool appending; /* the writer is at work in the last segment, whether it is current or not */
	bool torn;      /* that has bytes behind its end, which only the writer cuts */
	uint64_t last;  /* appended */
	uint64_t synced;
	bool dir_dirty; /* a segment was made since the last fsync of the directory */
	bool syncing;
	int sync_error; /* stays while there is a record in a segment that failed */
};

/* Takes the descriptor over. Under the mutex, or before anyone else can know the journal. */
int journal_add_segment(struct journal *j, struct segment segment);
int journal_fail(struct err *err, int code, const char *what);

#endif
