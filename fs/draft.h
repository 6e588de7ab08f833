/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_DRAFT_H
#define OUROFS_DRAFT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "memory.h"

/*
 * A version's bytes, kept for handles that opened it before it was superseded. Immutable; counted.
 */
struct version {
	atomic_uint refs;
	struct memory_stat st;
	struct buf bytes;
};

struct version *version_new(void); /* one reference, empty; NULL: out of memory */
struct version *version_ref(struct version *version);
void version_unref(struct version *version); /* NULL is fine */

/* Drafts are in memory: what they may take, in bytes. */
struct draft_room {
	size_t each; /* doc_max */
	size_t all;  /* together */
	atomic_size_t used;
};

/*
 * What a writer has made of a document so far. It belongs to a node and is shared by all handles
 * of it; nobody else sees it until it is committed. Counted; the fields are guarded by lock.
 */
enum { DRAFT_WRITERS = 8 };

struct draft {
	atomic_uint refs;
	atomic_uint handles; /* open ones that may write */
	pthread_mutex_t lock;
	struct draft_room *room;
	struct buf bytes;
	size_t charged;                      /* to room */
	struct memory_attributes attributes; /* set explicitly, applied with the next commit */
	struct timespec written;             /* time of the last change */
	mode_t mode;                         /* shown until attributes says otherwise */
	pid_t opener;                        /* thread that opened it */
	pid_t writers[DRAFT_WRITERS];        /* threads that wrote, the first of them */
	unsigned writer_count;               /* more than DRAFT_WRITERS: nobody is told apart */
	bool dirty;                          /* changed since the last commit */
	bool only_truncated;                 /* ... but by nothing except O_TRUNC */
	atomic_bool outdated;                /* a lock was asked for: see opening_catch_up */
	bool cut;                            /* more than fits was to be written: it lacks that */
	bool judged;      /* refused as it stands; a further change makes it open again */
	atomic_bool told; /* judged, and its maker knows: what was never saved is not seen */
	bool refused;     /* stands in /.rejected and may yet be withdrawn */
	bool kept_empty;  /* a flush without content put an empty file there */
};

/* room outlives it. */
struct draft *draft_new(pid_t opener, struct draft_room *room);
struct draft *draft_ref(struct draft *draft);
void draft_unref(struct draft *draft);

/* With lock held: bytes, whose own they become, are what it begins with. -ENOSPC: then they are released. */
int draft_fill(struct draft *draft, struct buf *bytes);
/* These three take the lock. -EFBIG beyond room->each, -ENOSPC beyond room->all. */
int draft_write(struct draft *draft, pid_t writer, const void *bytes, size_t len, off_t offset,
	bool append);
int draft_truncate(struct draft *draft, pid_t writer, off_t size);
/* Appends at most len bytes from offset to out. */
int draft_read(struct draft *draft, size_t len, off_t offset, struct buf *out);

/* With lock held: has this thread's process written to it; is it the one that opened it? */
bool draft_written_by(const struct draft *draft, pid_t thread);
bool draft_opened_by(const struct draft *draft, pid_t thread);
/* Are both threads of one process? */
bool same_process(pid_t thread, pid_t other);

#endif
