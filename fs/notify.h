/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_NOTIFY_H
#define OUROFS_NOTIFY_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "buf.h"

/*
 * The thread that tells the kernel to forget a name, and answers a request after that.
 *
 * Invalidating an entry takes the directory's lock in the kernel. Called by a worker it can wait for
 * itself for ever (inside CREATE of the same directory, or inside FLUSH with two workers), so no
 * worker ever does: it hands over the name together with its own reply, which is sent once the
 * stale entry is gone. So whoever saw the reply also sees the new version.
 *
 * A request may itself be what that waits for: fsync and setattr hold the file's lock in the kernel, a rename that
 * waits for it holds the directory's. So nobody waits for more than 100 ms: then all that are queued
 * are answered, and readers who hold a stale entry meanwhile are told by ESTALE when they open it.
 */
struct notifier;

/* Told by its thread, without locks, of each notice that was queued: the kernel knows, parent need stay no longer. */
typedef void notice_told_fn(void *context, fuse_ino_t parent);

int notifier_new(struct notifier **notifier, struct fuse_session *session, notice_told_fn *told,
	void *context);
/* Sends what is queued, ends the thread. NULL is fine. */
void notifier_free(struct notifier *notifier);

enum notice_reply { NOTICE_NONE, NOTICE_ERROR, NOTICE_ATTRIBUTES };

struct notice_answer {
	enum notice_reply kind;
	fuse_req_t req;
	int error;      /* NOTICE_ERROR: a positive errno or 0 */
	struct stat st; /* NOTICE_ATTRIBUTES */
	double timeout;
};

/*
 * Queues it; until told is called, parent is to be no other's number. Without memory (-ENOMEM) the answer is sent
 * at once, without the invalidation: readers that hold the stale entry are then told by ESTALE when they open it.
 */
int notifier_entry(struct notifier *notifier, fuse_ino_t parent, struct slice name,
	const struct notice_answer *answer);
/* Is one without an answer under way? Then the kernel may still take a name for what has left it. */
bool notifier_is_behind(struct notifier *notifier);

#endif
