/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SAVED_H
#define OUROFS_SAVED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "buf.h"
#include "err.h"
#include "hash.h"

/*
 * What STORE remembers of documents beside their value: the bytes as they were saved, mtime, mode and
 * inode number, in an LMDB environment of their own (STORE/saved/).
 *
 * A record is named by bytes of the caller's (any length). It says of which value it speaks (the hash of its
 * EDN text, its identity), so that a value changed by others is never shown with old bytes.
 *
 * Reading: any thread, many at once, each inside its own saved_read_begin/_end; what saved_get returns
 * borrows LMDB's memory until the end. Writing: any thread, but not
 * inside a read of its own; a batch is one synced transaction. The map grows by itself.
 */
struct saved;

/*
 * By what another writer's copy of memory.edn is judged (memory_merge.c). Values are edn_identity's, or
 * one of those below.
 */
enum { SAVED_OWN_MAX = 8 };
#define IDENTITY_ABSENT     ((struct hash128){0, 0})
#define IDENTITY_UNKNOWN    ((struct hash128){UINT64_MAX, UINT64_MAX}) /* it was lost: nobody has it */
#define IDENTITY_COLLECTION ((struct hash128){0, 1}) /* a map of entities, whoever is in it */

struct saved_base {
	uint64_t epoch;       /* which of the other's files: 0, or an older one than the memory's,
			       * when nothing was changed here since: the base is the value itself */
	struct hash128 value; /* in the last file that the other wrote */
	unsigned own_count;
	struct hash128 own[SAVED_OWN_MAX]; /* what stood here since, the last ones */
};

struct saved_record {
	bool has_bytes;
	bool has_mtime; /* of the value named below; mode and ino are of the name */
	mode_t mode;
	struct timespec mtime;
	uint64_t ino;
	uint64_t version;
	struct hash128 text_hash; /* of the value's EDN text */
	struct hash128 identity;  /* edn_identity of the value */
	bool deleted;             /* only sequence and base say something, here and in the next */
	bool collection;
	uint64_t sequence; /* of the journal record that gave it its value */
	struct saved_base base;
	struct slice bytes;
	struct slice text; /* without bytes: the value as EDN; ptr NULL: it is memory.edn's alone */
	bool damaged; /* when read: bytes or text were not as they were written, and are left out */
};

/*
 * dir_fd and path are STORE's. Data of another program is refused with -EINVAL and never written; so is
 * a later format. -EUCLEAN: it is damaged, and opened by nobody before it is made anew (memory_mend.h). read_only: a missing environment is an empty one.
 */
int saved_open(struct saved **saved, int dir_fd, const char *path, bool read_only, struct err *err);
void saved_close(struct saved *saved);
/* env_compact, of its environment. */
void saved_compact(struct saved *saved);

/* env_unmap_step, of its environment. */
bool saved_unmap_step(struct saved *saved, size_t *at);

struct saved_reader {
	struct saved *saved;
	void *txn;
};
int saved_read_begin(struct saved *saved, struct saved_reader *reader);
void saved_read_end(struct saved_reader *reader);
/* 0, -ENOENT, -EIO (a damaged record; where its bytes are all that is, it only lacks them). */
int saved_get(struct saved_reader *reader, struct slice name, struct saved_record *record);

/* Every record whose name starts with the byte tag, in no certain order. A negative return stops. */
typedef int saved_each_fn(void *context, struct slice name, const struct saved_record *record);
int saved_each(struct saved_reader *reader, char tag, saved_each_fn *fn, void *context);

/* A record was found so, since it was opened. */
bool saved_is_damaged(const struct saved *saved);

/*
 * Where it was not left as its last writer closed it: every record is looked at, and saved_is_damaged knows. For who does
 * not read them all anyway.
 */
int saved_examine(struct saved *saved);

struct saved_item {
	struct slice name;
	const struct saved_record *record; /* NULL: removes it */
};
/* Numbers and times by name, for the caller's own state. */
struct saved_note {
	const char *name;
	struct slice value;
};
/* All of it or nothing, durable on return. -ENOSPC, -EIO. */
int saved_write(struct saved *saved, const struct saved_item *items, size_t item_count,
	const struct saved_note *notes, size_t note_count, struct err *err);
/* Copies a note's value: 0, -ENOENT, or -EINVAL when it is not of this size. */
int saved_note_get(struct saved_reader *reader, const char *name, void *value, size_t size);

#endif
