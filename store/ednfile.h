/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDNFILE_H
#define OUROFS_EDNFILE_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "schema.h"

/*
 * memory.edn: its text, and an index of where each key and value stands in it.
 *
 * The file is read once into memory (never mapped: others truncate it in place) and indexed by
 * edn_scan_map; values stay text until someone asks. A changed entry owns its new text, an unchanged
 * one points into the text that was read, so that a rewrite puts down every byte that did not
 * change as it stood: comments, order, layout, the gaps between entries. Maps under a collection
 * key are indexed the same way, one level down, when they are first touched.
 *
 * Keys and members are canonical EDN (path.h). A member with ptr NULL means the key's whole value.
 *
 * Locking is the caller's: any number of threads in functions that take a const file, or one thread
 * in any other. (The lazy index of a collection is built under the file's own mutex.)
 */
struct ednfile;

struct ednfile_options {
	unsigned max_depth;          /* EDN_LOAD_DEPTH */
	const struct schema *schema; /* which keys are collections */
	unsigned settle_ms; /* how long a broken file stands still to be reported; 0: 2,000 */
	int64_t *waited_ms; /* NULL, or what was spent waiting for its writer is added there */
	bool resolved; /* path is what ednfile_resolve said: a link there now was put there since, and is -ELOOP */
	const int *
		index_dir; /* NULL, or STORE, where the index of a big text is kept (ednfile_index.h) */
	struct ednfile
		*broken; /* NULL, or who is to know a broken file at path for one that was seen */
	bool exactly; /* path is used as it is: /proc/self/fd/N, of a file that has no name any more */
};

/* Where path leads: absolute, itself no symbolic link. *absolute: the path itself. malloc'ed. */
int ednfile_resolve(const char *path, char **absolute, char **target, struct err *err);

/*
 * Loads and indexes path. A missing file is an empty store (it is made by the first write); a
 * symbolic link is followed (and rewritten at its target); a directory, FIFO or device: -EINVAL.
 * A broken file: -EBADMSG with line, column and cause, once no byte of it changed for settle_ms (its
 * writer may be half way); it is not touched. Temporary files of a rewrite that was killed are removed.
 */
int ednfile_open(struct ednfile **file, const char *path, const struct ednfile_options *options,
	struct err *err);
/* The same with {} as text, whatever stands at path; the first rewrite makes it so. */
int ednfile_new(struct ednfile **file, const char *path, const struct ednfile_options *options,
	struct err *err);
void ednfile_free(struct ednfile *file);
/* file, read from elsewhere, is what is to be written where other stands from now on. */
int ednfile_take_place(struct ednfile *file, const struct ednfile *other);
/* The file on disk that other was read from holds what file was read from. */
void ednfile_take_identity(struct ednfile *file, const struct ednfile *other);
/* That the file on disk is gone is no change by others. A new one gets its mode and owner. */
void ednfile_set_missing(struct ednfile *file);
/* The same where others removed the file that before was read from, and file was found empty. */
void ednfile_keep_owner(struct ednfile *file, const struct ednfile *before);

struct ednfile_item {
	struct slice
		text;   /* the value's EDN text; valid until the next call with a non-const file */
	uint64_t *slot; /* the caller's, zero when the entry is read or its text changes; access
			    * it with atomics, as many readers may hold it. Valid as long as text. It
			    * is a cache: a member's may be zero again after any change of the file. */
	uint8_t type;   /* of the value, enum edn_type */
	bool unreadable; /* key or value hold what clojure.edn can't read alone: a lenient token, a tag */
};

/* 0, -ENOENT or -ENOMEM. */
int ednfile_get(const struct ednfile *file, struct slice key, struct slice member,
	struct ednfile_item *item);
/* Is the key's value a map under a collection pattern, so that it has members? */
bool ednfile_is_collection(const struct ednfile *file, struct slice key);
/* The same, of a key of which the item is at hand. */
bool ednfile_item_is_collection(const struct ednfile *file, struct slice key,
	const struct ednfile_item *item);
size_t ednfile_count(const struct ednfile *file);
size_t ednfile_member_count(const struct ednfile *file, struct slice key);

/* In the file's order. key_text is canonical EDN, valid during the call; a negative return stops. */
typedef int ednfile_each_fn(void *context, struct slice key, const struct ednfile_item *item);
int ednfile_each(const struct ednfile *file, ednfile_each_fn *fn, void *context);
int ednfile_each_member(const struct ednfile *file, struct slice key, ednfile_each_fn *fn,
	void *context);
/* Their names alone: item may be NULL, and members that were not indexed stay so. */
int ednfile_each_name(const struct ednfile *file, struct slice key, ednfile_each_fn *fn,
	void *context);

/*
 * Sets a value (text is copied; it must be one readable EDN form). A new key goes to the map's end.
 * A member of a key that does not exist makes the key, as {member text}. Where the new key does not
 * fit a #:ns{..} map, the prefix is opened up, keys in full, nothing else changed.
 * -EEXIST: a different key that Clojure's = takes for the same is there. -ENOTDIR: a member of a
 * value that is no map. -EBADMSG: key, member or text is not one readable EDN form. -EOVERFLOW. -ENOMEM.
 * On failure nothing changed.
 */
int ednfile_put(struct ednfile *file, struct slice key, struct slice member, struct slice text,
	struct err *err);
/*
 * 0 or -ENOENT (-ENOMEM). Deleting the last member leaves {}. The entry's separator goes with it, and the
 * comment behind it on its line; comments on other lines and discards stay.
 */
int ednfile_delete(struct ednfile *file, struct slice key, struct slice member);
/*
 * Gives an entry another key; it keeps its text, and its place when both are in one map (else it goes
 * to the end of the other map). The target must not exist (-EEXIST); the caller deletes it first.
 * Other errors as ednfile_put, -ENOENT, -EINVAL (a key into itself).
 */
int ednfile_rename(struct ednfile *file, struct slice key, struct slice member, struct slice to_key,
	struct slice to_member, struct err *err);
/* Exchanges the values of two entries, each at its place. */
int ednfile_exchange(struct ednfile *file, struct slice key, struct slice member,
	struct slice other_key, struct slice other_member, struct err *err);

/*
 * Rewriting, in steps so that no lock is held over the disk:
 *   begin  (a writer's lock): takes a snapshot of the text; entries may change from then on.
 *   write  (no lock): temporary file beside the target (O_EXCL|O_NOFOLLOW, mode and owner kept), fsync.
 *   commit (no lock): rename, fsync of the directory.
 *   end    (a writer's lock): releases the snapshot.
 * On failure, or without a commit, the old file stands and the temporary is gone. One rewrite at a time.
 */
struct ednfile_snapshot;
int ednfile_rewrite_begin(struct ednfile *file, struct ednfile_snapshot **snapshot);
/* hash: of the text that is written. */
int ednfile_rewrite_write(struct ednfile *file, struct ednfile_snapshot *snapshot,
	struct hash128 *hash, struct err *err);
/* The file that a rewrite replaced, as it was known: one who had it open may still write to it. */
struct ednfile_replaced {
	int fd; /* the caller's to close, or -1 */
	uint64_t size;
	struct timespec mtime;
};
/*
 * -EAGAIN: someone else changed the file meanwhile, and it stands as it was. insist: it is replaced all the same,
 * what it holds by then is in replaced alone.
 */
int ednfile_rewrite_commit(struct ednfile *file, struct ednfile_snapshot *snapshot, bool insist,
	struct ednfile_replaced *replaced, struct err *err);
void ednfile_rewrite_end(struct ednfile *file, struct ednfile_snapshot *snapshot);
/*
 * A big text that was read (from 16 MiB on) goes to a file without a name in dir_fd's filesystem, in three
 * steps like a rewrite and in its place: begin says whether there is anything to do. It is read from there as before, and
 * memory need not hold it. Where there is no room for it nothing changes.
 */
bool ednfile_put_away_begin(struct ednfile *file);
void ednfile_put_away(struct ednfile *file, int dir_fd);
void ednfile_put_away_end(struct ednfile *file);
/* What was read there takes memory: gives it back, as mapped_unmap_step. With the file as a reader. */
bool ednfile_unmap_step(const struct ednfile *file, size_t *at);
/*
 * The index of a key's members, or of those of all keys (ptr NULL), leaves memory until someone asks for one, where
 * nothing in it was changed.
 */
void ednfile_drop_members(struct ednfile *file, struct slice key);
/* Keeps the index of the text as it would be written now, where that of a big one is not kept already. */
void ednfile_keep_index(const struct ednfile *file);
/* The text as it would be written now. */
int ednfile_text(const struct ednfile *file, struct buf *out);

/* What others see of the file, and what health reports. */
struct ednfile_info {
	bool exists; /* at load, or since a rewrite */
	mode_t mode; /* permission bits; 0600 when there was no file */
	struct timespec mtime;
	uint64_t size_bytes;
	size_t unreadable_keys; /* entries that clojure.edn can't read alone */
	size_t trailing_bytes;  /* behind the first form, neither blank nor comment: Clojure
				* ignores it, a rewrite keeps it */
};
void ednfile_info(const struct ednfile *file, struct ednfile_info *info);
/* hash128 of the text that was read, before any change. */
struct hash128 ednfile_loaded_hash(const struct ednfile *file);
/*
 * Has someone else changed, replaced or removed the file since it was read or last rewritten? By
 * device, inode, size, mtime and ctime, so a chmod counts too. Any thread, at any time.
 */
bool ednfile_changed_outside(const struct ednfile *file);

#endif
