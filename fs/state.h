/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_STATE_H
#define OUROFS_STATE_H

#include <pthread.h>
#include <time.h>

#include "document.h"
#include "draft.h"
#include "events.h"
#include "fs.h"
#include "locks.h"
#include "node.h"
#include "notify.h"
#include "prune.h"
#include "refusals.h"
#include "scratch.h"

/*
 * What the operations share.
 *
 * The order of locks is in lock_order.h. No lock but the notifier's is held while a request is answered,
 * and fs->lock is never held over the disk, but for a look at what the memory has (ops_close.c, adoption.c).
 */
enum fs_tree { TREE_SCRATCH, TREE_REJECTED, TREE_CONFLICTS, TREE_COUNT };

/* The text of a control file as it was last seen, and since when. */
struct control_seen {
	struct hash128 hash;
	struct timespec time;
};
enum { CONTROLS_MAX = 32 };

/* A cause of bad health that only looking finds, and since when. */
struct health_seen {
	const char *cause;
	long long since_s;
};
enum { HEALTH_SEEN_MAX = 8 };

struct fs {
	const struct options *options;
	struct memory *memory;
	struct fuse_session *session;
	struct notifier *notifier;
	struct locks *locks;
	struct refusals *refusals;
	struct events *events;
	atomic_llong many_logged_s; /* of told.c: when the last line was, wall clock */
	struct metrics *metrics;
	struct scratch trees[TREE_COUNT];
	struct prunable prunable;
	struct draft_room draft_room;
	struct timespec started; /* wall clock */
	/*
	 * Held for reading while something is done to a path: it stays the path of what it was made
	 * for. For writing by the rename of a directory, which changes the paths of all below it, and goes
	 * before those who come later. So readers never nest; under it they wait only for who has it already (a
	 * commit) or never takes it (an adoption).
	 */
	pthread_rwlock_t moves;
	pthread_mutex_t lock;
	pthread_mutex_t settling;                        /* recursive: see settle.h */
	pthread_cond_t published;                        /* a commit of some document ended */
	struct node_table nodes;                         /* guarded by lock */
	struct document_table documents;                 /* guarded by lock */
	struct expectation *expectations;                /* guarded by lock */
	struct handle *open_handles;                     /* guarded by lock */
	struct control_seen seen[CONTROLS_MAX];          /* by number; guarded by lock */
	struct health_seen health_seen[HEALTH_SEEN_MAX]; /* guarded by lock */
	struct slow_write *slow; /* control writes under way; guarded by lock */
	bool adopting;           /* outside changes come in; guarded by lock */
	unsigned renames;        /* whose notices are not queued as yet; guarded by lock */
	uint64_t renames_begun;  /* so many since the mount; guarded by lock */
	uint64_t renames_before; /* the adoption; UINT64_MAX: one was under way; guarded by lock */
	unsigned slow_threads;   /* guarded by lock; published tells when one ends */
};

enum handle_kind { HANDLE_DOCUMENT, HANDLE_SCRATCH, HANDLE_DIRECTORY, HANDLE_CONTROL };

struct listing;

/* One open file or directory; what fi->fh points to. Freed by RELEASE, after which no request has it. */
struct handle {
	enum handle_kind kind;
	bool readable;
	bool writable;
	bool append;
	struct node *node;         /* referenced */
	uint64_t ino;              /* the file's st_ino, by which locks go */
	struct document *document; /* HANDLE_DOCUMENT; referenced */
	struct handle *next;       /* of the same document; guarded by fs->lock */
	struct handle *next_open;  /* of all handles; guarded by fs->lock */
	struct handle *prev_open;
	struct draft *draft;     /* writers; referenced */
	int fd;                  /* HANDLE_SCRATCH, else -1 */
	struct listing *listing; /* HANDLE_DIRECTORY */
	struct version *
		snapshot; /* HANDLE_CONTROL, also of a NODE_STORE: what read returns; referenced, or NULL */
	pthread_mutex_t lock; /* HANDLE_DIRECTORY: guards listing */
};

static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
	return fi ? (struct handle *)(uintptr_t)fi->fh : NULL; /* libfuse's fh is an integer */
}

static inline struct node *node_of(struct fs *fs, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? fs->nodes.root : (struct node *)(uintptr_t)ino;
}

static inline fuse_ino_t ino_of(const struct fs *fs, const struct node *node)
{
	return node == fs->nodes.root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

static inline pid_t thread_of(fuse_req_t req)
{
	return fuse_req_ctx(req)->pid;
}

struct handle *handle_new(enum handle_kind kind, int flags);
/* With fs->lock held: counts it where it belongs. document may be NULL. */
void handle_attach(struct fs *fs, struct handle *handle, struct node *node,
	struct document *document);
/* A scratch file's, without the lock. -ESTALE: it was saved as a document meanwhile. */
int handle_attach_scratch(struct fs *fs, struct handle *handle, struct node *node);
/* Takes the node's lookups of handles with it. */
void handle_free(struct fs *fs, struct handle *handle);

/* What may change about a node while one thinks about it, taken under fs->lock. */
struct node_look {
	enum node_state state;
	bool taken;
	bool removed; /* no name leads to it any more */
	uint64_t version;
	uint64_t ino;
	struct draft *draft; /* referenced, or NULL */
};
void node_look(struct fs *fs, const struct node *node, struct node_look *look);
/*
 * Is the scratch file of that name open? Then it goes on counting when it loses its name, until its
 * last handle is closed.
 */
bool fs_outlives(struct fs *fs, const struct node *parent, const char *name);
/* A descriptor of a scratch file that is open somewhere, for the caller to close; -ENOENT. */
int fs_dup_open(struct fs *fs, const struct node *node);
/* Opens that file once more, as open(2) does with these flags. */
int fs_reopen(struct fs *fs, const struct node *node, int flags);

/*
 * The kernel forgets a name, then the answer goes out (notify.h). Without locks; takes the caller's reference of parent:
 * the kernel may forget that first, and its number would be another's.
 */
void fs_tell_stale(struct fs *fs, struct node *parent, struct slice name,
	const struct notice_answer *answer);

/* Path of a node, or of a child of it; takes fs->lock. */
int fs_path(struct fs *fs, const struct node *node, const char *child, struct buf *path);

#endif
