/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_DOCUMENT_H
#define OUROFS_DOCUMENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "draft.h"
#include "err.h"
#include "node.h"

/*
 * A document that is open somewhere, over all the nodes that are its versions, and the rules by
 * which its content changes: as a whole, when a writer is done.
 *
 * A reader opens the current node. A writer alone takes that node over; a writer who is not alone
 * gets a node of his own: his OPEN is answered ESTALE, which makes the kernel look the name up
 * again, and that LOOKUP, known by its thread (an expectation), is answered with the new node. A
 * reader who comes too late for a version is sent back the same way, and the version that he is given then
 * is kept for him: the kernel tries only twice. A
 * second OPEN of the same node by the same thread with no LOOKUP between comes through a magic link
 * (/proc/self/fd/N), which has no name to look up: it is accepted as it is.
 *
 * A commit pins the old version's bytes for those who have it open, gives the new bytes to the
 * memory, and lets the old node go: the next LOOKUP makes a node for the new version.
 *
 * Documents and expectations are guarded by fs->lock unless a comment says otherwise.
 */
struct fs;
struct handle;

struct document {
	struct document *next;  /* in the bucket */
	uint32_t refs;          /* handles, expectations, operations under way */
	struct handle *handles; /* open ones, linked by next */
	bool committing;        /* its current node may be out of date until this is false again */
	bool shown;             /* ... and there was one when it began */
	bool dead;              /* unlinked or replaced: drafts of it are discarded */
	char *left_to;          /* dead: renamed to this scratch file, where drafts of it now go */
	bool created;           /* seen as an empty file, though nothing has been saved */
	bool on_disk;           /* ... and kept as an empty file in scratch */
	mode_t mode;            /* created: its permission bits */
	struct timespec made;   /* created: when */
	uint64_t ino;           /* created: its number */
	struct node *parent;    /* referenced */
	char *name;
	size_t name_len;
	pthread_mutex_t commit; /* one commit, removal or rename at a time */
};

struct document_table {
	struct document **buckets;
	uint32_t *changes; /* a bucket: how often the content behind one of its names changed */
	size_t bucket_count;
};

struct expectation {
	struct expectation *next;
	pid_t thread;
	bool write;
	bool looked_up;            /* the thread has come back by its name */
	struct document *document; /* referenced */
	struct node *parent;       /* referenced; with name: what will be looked up */
	char *name;
	size_t name_len;
	struct node *refused; /* referenced */
	struct node *own;     /* what LOOKUP gave the thread: held, or NULL */
	int64_t deadline_ms;  /* CLOCK_MONOTONIC */
};

int document_table_init(struct document_table *table);
void document_table_release(struct document_table *table);

/* All with fs->lock held. */
struct document *document_find(struct fs *fs, const struct node *parent, struct slice name);
/* Finds or makes it; a reference for the caller. NULL: out of memory. */
struct document *document_get(struct fs *fs, struct node *parent, struct slice name);
void document_unref(struct fs *fs, struct document *document);
/*
 * It goes by another name from now on; open handles and their nodes follow. The hashed node is the
 * caller's to move. -ENOMEM: it may be known by either name; kill it.
 */
int document_move(struct fs *fs, struct document *document, struct node *parent, struct slice name);
/* Each goes by the other's name from now on. */
int document_swap(struct fs *fs, struct document *document, struct document *other);
/* It is gone: not found by name any more, its drafts discarded. */
void document_kill(struct fs *fs, struct document *document);
/* The directory is gone, and with it those who lost their entities before, but are open. */
void document_kill_in(struct fs *fs, const struct node *directory);
/* Made, but not saved yet: is it seen by its name? Not where all who make it know it for refused. */
bool document_is_seen(const struct document *document);
/* Is a file being made in that directory that no one has saved yet? */
bool document_any_created(struct fs *fs, const struct node *directory);
/* Path of the document, with or without fs->lock: as it is now called. */
int document_path(struct fs *fs, struct document *document, struct buf *path);

struct expectation *expectation_of_node(struct fs *fs, pid_t thread, const struct node *node);
/* By name, as a document may be replaced meanwhile. thread 0: anyone's. */
struct expectation *expectation_of_name(struct fs *fs, pid_t thread, const struct node *parent,
	struct slice name);
int expectation_add(struct fs *fs, pid_t thread, struct document *document, struct node *refused,
	bool write);
/* The thread looked the name up and was given node: its OPEN of that will be let in. */
void expectation_give(struct fs *fs, struct expectation *expectation, struct node *node);
void expectation_drop(struct fs *fs, struct expectation *expectation);

/*
 * Around every change of a document's content, name or existence. begin takes document->commit and pins the current
 * version for open handles; end publishes: with changed set the current node is old from now on
 * (unless it is keep). Returns -ENOMEM, -EIO ...: then nothing may be changed and end is not called.
 */
int document_begin(struct fs *fs, struct document *document);
/*
 * stale (may be NULL) tells whether the kernel may still have the name with the old version. kill: the document is gone
 * with this change (unlinked, replaced), in the same instant.
 */
struct document_change {
	bool changed;
	bool kill;
	struct node *keep;
	bool stale; /* out */
};
void document_end(struct fs *fs, struct document *document, struct document_change *change);
/* The same for who holds fs->moves already. */
int document_begin_alone(struct fs *fs, struct document *document);
void document_end_alone(struct fs *fs, struct document *document, struct document_change *change);
/* With fs->lock held: the content behind the document's name is another from now on. */
void document_touch(struct fs *fs, const struct document *document);
/* With fs->lock held: waits until no commit of that name is under way; its count of changes. */
uint32_t document_settled(struct fs *fs, const struct node *parent, struct slice name);
/* The same for a node, whose name may change meanwhile. */
void document_settled_node(struct fs *fs, const struct node *node);

/* Keeps the current bytes for those who have node open, whatever becomes of it. */
int document_pin(struct fs *fs, struct document *document, struct node *node);
/* The bytes of a version that someone has open; *version gets a reference or NULL. */
struct version *document_pinned(struct fs *fs, const struct node *node);

/*
 * Judges a draft: valid content is committed, other is refused: bytes and reason go to /.rejected
 * (provisionally with final false). Returns 0, or the negative errno of the refusal; truncated (may be
 * NULL) tells that more text could mend it. stale as in document_end. draft->lock is taken inside.
 */
struct verdict {
	bool final;
	struct node *node;     /* the writer's, or NULL */
	bool truncated;        /* out */
	bool stale;            /* out */
	struct memory_stat st; /* out: of the new version */
};
int document_judge(struct fs *fs, struct document *document, struct draft *draft,
	struct verdict *verdict);
/* The same for who holds fs->moves already. */
int document_judge_alone(struct fs *fs, struct document *document, struct draft *draft,
	struct verdict *verdict);

#endif
