/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JOURNAL_H
#define OUROFS_JOURNAL_H

#include <stdint.h>
#include <time.h>

#include "buf.h"
#include "err.h"

/*
 * The journal: an append-only log of checksummed records, in segments under STORE/journal/.
 *
 * A record is committed when journal_append has returned: it is in the kernel, and survives the end
 * of this process. journal_sync makes it survive power loss. Each consumer of the log keeps its own
 * watermark, the last sequence number that it holds durably; journal_trim removes the segments
 * that all of them have passed.
 *
 *	journal_open(&j, dir_fd, watermark, replay, context, &err);	// calls replay for later records
 *	journal_append(j, now, JOURNAL_PUT, payload, &sequence, &err);
 *	journal_sync(j, sequence, &err);
 *	journal_rotate(j);		// so that what was appended so far can be trimmed
 *	journal_trim(j, watermark);
 *	journal_close(j);
 *
 * Threads: journal_append, _retract and _rotate under the caller's one writer lock; journal_sync,
 * _trim and _bytes from anywhere. journal_append never syncs; only journal_retract, which is rare, may wait
 * for a sync under way.
 *
 * On disk: a segment's name is the sequence number of its first record in 16 hex digits and ".log";
 * it starts with a header of 16 bytes ("ourofsJ2", the number again), the rest is records. A record that
 * would take a segment past 64 MiB opens the next one. Zeros may follow the last record: room that was taken in
 * advance, up to 256 KiB, which only a journal that was not closed leaves. All numbers are little endian:
 *
 *	u32 mark  u32 payload bytes  u64 sequence  i64 seconds  u32 nanoseconds  u32 kind
 *	u32 checksum (CRC32C of the 32 bytes above and the payload)  payload
 *
 * What is damaged is found and mended by journal_check.h.
 */
struct journal;

/* What a record is about, for people and tools: a replay goes by the payload. Numbers are on disk. */
enum journal_kind {
	JOURNAL_PUT = 1, /* a document saved */
	JOURNAL_DELETE,
	JOURNAL_RENAME,
	JOURNAL_EXCHANGE, /* two documents swapped */
	JOURNAL_RENAME_DIRECTORY,
	JOURNAL_REMOVE_DIRECTORY,
	JOURNAL_ATTRIBUTES, /* mode, times */
	JOURNAL_ADOPTION,   /* what someone else wrote to memory.edn */
	JOURNAL_MODE,       /* a switch of the mode */
	/*
	 * The journal's own: the record of this number and those up to another were lost to damage. Its
	 * payload is u64 first (its own number) u64 last. No replay sees it, and none is appended.
	 */
	JOURNAL_LOST,
};

/* In words; "unknown kind" for what a later version wrote. */
const char *journal_kind_name(enum journal_kind kind);

struct journal_record {
	uint64_t sequence; /* 1, 2, 3 ... without gaps but those of JOURNAL_LOST */
	struct timespec time;
	enum journal_kind kind;
	struct slice payload; /* valid during the call */
};

typedef int journal_replay_fn(void *context, const struct journal_record *record, struct err *err);

/*
 * Opens STORE/journal (made where missing; dir_fd is STORE's) and calls replay for each record behind watermark,
 * in order; a negative return ends the opening with it. A torn tail, the record that was being
 * written when the machine stopped, is cut off. -EBADMSG with file and offset: a record in the middle is damaged,
 * or some are missing. -EPROTO: another version's segment. New records continue behind the last one, at least at watermark + 1.
 */
int journal_open(struct journal **journal, int dir_fd, uint64_t watermark,
	journal_replay_fn *replay, void *context, struct err *err);
/* The same replay, but nothing is made, cut or removed. A missing journal is an empty one. */
int journal_replay_only(int dir_fd, uint64_t watermark, journal_replay_fn *replay, void *context,
	struct err *err);
/* Syncs nothing. */
void journal_close(struct journal *journal);

/* -ENOSPC, -EIO, -EFBIG (4 GiB or more): nothing was appended, the tail is as it was. */
int journal_append(struct journal *journal, struct timespec now, enum journal_kind kind,
	struct slice payload, uint64_t *sequence, struct err *err);
/*
 * What is appended from now on comes to the disk behind all that the file system was told before: a directory that was made,
 * or moved. Else it may come there alone, long before.
 */
void journal_barrier(struct journal *journal);
/* Takes back the record appended last, which its caller could not apply. */
int journal_retract(struct journal *journal);
/*
 * All records up to sequence are on disk. Callers at the same time share one fdatasync. After an
 * error the kernel may have dropped dirty pages, and no later success speaks of these: it stays until journal_trim has
 * removed each segment that could not be synced (what it held is then safe elsewhere), and none of them takes another record.
 */
int journal_sync(struct journal *journal, uint64_t sequence, struct err *err);
/* Starts a new segment, unless the current one is empty. Failing is harmless: it is tried again. */
int journal_rotate(struct journal *journal);
/*
 * Removes the segments whose records are all at or below watermark; never the current one, and none while someone
 * shares a flock on the directory (backup_journal.h): the next one does.
 */
int journal_trim(struct journal *journal, uint64_t watermark);

uint64_t journal_last(const struct journal
		*journal);                       /* sequence of the last record, or watermark */
uint64_t journal_bytes(struct journal *journal); /* of all segments */

#endif
