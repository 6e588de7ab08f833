/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JOURNAL_PRIVATE_H
#define OUROFS_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "journal_format.h"

struct segment {
	uint64_t first;
	uint64_t last; /* first - 1 while it holds no record */
	uint64_t bytes;
	uint64_t size; /* of the file: what is behind its bytes is room that reads as zeros */
	int fd;        /* -1 once it is synced and nothing more comes */
	/*
	 * A sync of it failed: what of it is on disk nobody knows any more, since a later sync that succeeds says
	 * nothing of pages that the kernel gave up. It gets no more records.
	 */
	bool failed;
};

struct journal {
	int dir_fd;          /* of STORE/journal */
	atomic_bool ordered; /* the next segment is to be roomless, from the next record on */
	/* of the one writer */
	bool torn; /* the current segment has bytes behind its end */
	bool roomless; /* the current segment grows by what is written: it is to, or the disk has no room */
	uint64_t last_start;   /* where the record appended last begins */
	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t sync_done;
	struct segment *segments; /* ascending */
	size_t count, cap;
	bool current;   /* the last segment takes records */
	bool appending; /* the writer is at work in the last segment, whether it is current or not */
	uint64_t last;  /* appended */
	uint64_t synced;
	bool dir_dirty; /* a segment was made since the last fsync of the directory */
	bool syncing;
	int sync_error; /* stays while there is a record in a segment that failed */
};

/*
 * Room is taken in advance, so that the sync of a record has no metadata of the file to write: an append
 * and its fdatasync take a quarter less on ext4. A segment's end has none once another follows. What a segment without room
 * grows by is on disk only with what the file system was told before it.
 */
#define JOURNAL_ROOM_BYTES ((uint64_t)256 << 10)

/* Takes the descriptor over. Under the mutex, or before anyone else can know the journal. */
int journal_add_segment(struct journal *j, struct segment segment);
/* Of the current segment, where there is one; failing is harmless. */
void journal_give_room_back(struct journal *j);
int journal_fail(struct err *err, int code, const char *what);

#endif
