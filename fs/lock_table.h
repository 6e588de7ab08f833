/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LOCK_TABLE_H
#define OUROFS_LOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Who holds which lock on which file: the state behind locks.h, without requests, waiting or
 * threads (the caller locks).
 *
 * Ranges are inclusive and in bytes, to INT64_MAX for "the whole rest". The ranges of one owner in
 * one file never overlap, and neighbours of one type are one range, as POSIX wants fcntl's (those
 * set through one open file, that is, so that each ends with its own). A flock is a range over
 * everything, kept in a list of its own.
 */
enum lock_kind { LOCK_FCNTL, LOCK_FLOCK, LOCK_KINDS };

struct lock_range {
	struct lock_range *next;
	uint64_t owner;
	uint64_t handle; /* through which it was last set */
	int64_t start;
	int64_t end;
	pid_t pid;
	short type; /* F_RDLCK or F_WRLCK */
};

/* What is asked for; type F_UNLCK too. */
struct lock_want {
	enum lock_kind kind;
	uint64_t ino;
	struct lock_range range; /* next is not used */
};

enum { LOCK_TABLE_BUCKETS = 1024, LOCK_TABLE_MOST = 65536 };

struct lock_file;

struct lock_table {
	struct lock_file *buckets[LOCK_TABLE_BUCKETS];
	size_t ranges; /* of all files, at most LOCK_TABLE_MOST */
};

void lock_table_release(struct lock_table *table);

/* The next range that keeps this one out, behind after (NULL: the first). NULL: there is none. */
const struct lock_range *lock_table_conflict(const struct lock_table *table,
	const struct lock_want *want, const struct lock_range *after);
/* The range of want's owner that holds start, or NULL. */
const struct lock_range *lock_table_own(const struct lock_table *table,
	const struct lock_want *want);
/*
 * Gives want's owner that range in that type (or takes it away), whatever it had there before; the
 * caller has seen that nothing conflicts. *loosened is set to true if anyone else may now get what
 * they could not. -ENOLCK: no memory or too many locks; nothing changed.
 */
int lock_table_set(struct lock_table *table, const struct lock_want *want, bool *loosened);
/* Takes everything from an owner in a file. Was there anything? */
bool lock_table_drop(struct lock_table *table, enum lock_kind kind, uint64_t ino, uint64_t owner);
/* Takes every range of either kind that was set through handle. */
bool lock_table_drop_handle(struct lock_table *table, uint64_t ino, uint64_t handle);

#endif
