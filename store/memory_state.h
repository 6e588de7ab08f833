/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_STATE_H
#define OUROFS_MEMORY_STATE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "change.h"
#include "eav.h"
#include "ednfile.h"
#include "journal.h"
#include "memory.h"
#include "memory_resident.h"
#include "memory_telling.h"
#include "mode.h"
#include "pace.h"
#include "path.h"
#include "store_dir.h"
#include "table.h"
#include "tree.h"

/*
 * What a memory is made of, and which lock guards what of it.
 *
 * ednfile holds every value, pending changes included; tree says which of its entries exist; the overlay
 * holds what is known of documents beside their value until saved has it durably; saved has the rest.
 *
 * Two threads bring the stores up to the journal: flush (saved, the EAV store), work (memory.edn).
 *
 * Deleted documents stay in the ednfile as ghosts until the next rewrite, so that one that is
 * written again meanwhile keeps its place; the tree no longer knows them.
 *
 * The order of locks is in lock_order.h. Whoever reads both the EAV store and saved begins with the EAV store.
 */

/* A document as pending: immutable, counted. */
struct pending {
	atomic_uint references;
	uint64_t sequence;         /* of the last journal record that speaks of it */
	struct saved_record saved; /* bytes, or else the text, point behind */
	char bytes[];
};

/* What the flush thread does for a switch of the mode: one at a time, see memory.switching. */
struct flush_job {
	enum { JOB_BRING_UP, JOB_CHECK, JOB_CLOSE } kind;
	bool migrate;
	int ret;
	struct err err;
	size_t differ; /* entities that the EAV store lacks or holds otherwise, and one of them */
	char first[200];
};

/* Brings saved and the EAV store up to the journal. */
struct flush {
	struct pace pace;
	/* Who writes to the EAV store: an attempt of the thread's, or a migration for a transaction. */
	pthread_mutex_t turn;
	uint64_t watermark;    /* the thread's own: what saved holds */
	struct flush_job *job; /* guarded by pace.mutex */
	atomic_bool notes;     /* a migration runs: what is flushed is noted in recent */
	struct table
		recent; /* guarded by turn: name -> the sequence number (u64) it was flushed up to */
};

enum eav_state { EAV_CLOSED, EAV_BEHIND, EAV_READY, EAV_FAILED };

/* memory_eav.h says who may do what. */
struct eav_side {
	struct eav *store;
	uint64_t opened;    /* how many times; guarded by memory.lock, as is store */
	atomic_int state;   /* enum eav_state */
	uint64_t watermark; /* the flush thread's: what the store holds; */
	bool marked;        /* and it says so. One that was made anew does not */
	bool remade;        /* the flush thread's: all that is served is to come there */
	pthread_mutex_t mutex;
	struct err reason;  /* of EAV_FAILED; guarded by mutex */
	atomic_ulong reads; /* documents that came from it */
	atomic_ulong
		refused; /* times it was not given what is too large for it, see memory_eav_item */
	atomic_ulong fallbacks; /* ... that it was asked for first, and came from memory.edn */
};

/* How memory.edn looked when it was last ours, as a note in saved. */
struct memory_file_note {
	uint64_t device, ino, size;
	int64_t seconds, nanoseconds;
	struct hash128 hash; /* of its text */
	uint64_t sequence;   /* it holds what was committed up to here */
};

enum { REPLACED_MAX = 64 };

/* A file that a rewrite replaced: who had it open may still write to it. */
struct replaced {
	struct ednfile_replaced file; /* as it was last looked at */
	int watch;                    /* of its inode, or -1 */
	int64_t since_ms;
};

enum { SET_ASIDE_NAME = NAME_MAX + 1 };

/* Brings memory.edn up to the journal, and merges what others write there. */
struct work {
	struct pace pace;
	/* the thread's own */
	struct memory_file_note file; /* memory.edn as it was last known */
	struct watch *watch;          /* NULL: none to be had, looks once a second */
	int64_t waited_ms;            /* of this attempt: for the other writer */
	struct replaced replaced[REPLACED_MAX];
	unsigned replaced_count;
	/* for health; guarded by pace.mutex */
	uint64_t rewrites;
	struct timespec last_rewrite;
	double last_rewrite_ms;
	uint64_t outside_changes;
	uint64_t stale_put_back;
	uint64_t conflicts;
	bool merge_wanted; /* whatever memory.edn looks like */
	struct timespec set_aside_since;
	char set_aside[ERR_TEXT];  /* as in struct memory_health */
	char kept[SET_ASIDE_NAME]; /* what it is about; "" before the first */
};

/* The tree's documents by type, once someone has asked: memory_count.c. Guarded by mutex, or the writer's memory.lock. */
struct type_counts {
	pthread_mutex_t mutex; /* for who has memory.lock for reading */
	bool known;            /* each node has its type's number, one more than that of the row */
	struct memory_type_count *rows;
	size_t count, cap;
};

struct validator;
struct store_trees;

/* Documents that memory_read found, by where they are. */
struct read_counts {
	atomic_ulong overlay, eav, edn;
	atomic_ulong fallbacks; /* of edn: the EAV store was asked first */
};

struct memory {
	struct memory_options options;
	char *edn_path; /* followed where it led when the memory was opened */
	char *store_path;
	struct store_dir dir;
	struct saved *saved;
	struct journal *journal; /* NULL: read-only */

	pthread_rwlock_t lock; /* guards what follows */
	struct ednfile *file;
	struct tree *tree;
	struct table overlay;    /* entity_id_name -> struct pending */
	size_t overlay_bytes;    /* put there since the flush thread last looked */
	struct table ghosts;     /* entity_id_name -> itself */
	struct table dirty_dirs; /* path -> itself: directories whose attributes saved lacks */
	struct table exiles;     /* 8 bytes: default inode numbers that moved away -> itself */
	struct table held;       /* unreadable tokens that memory.edn held since this mount
				* began: it is unreadable already, they make it no worse */
	atomic_int mode;         /* enum mode */
	bool edn_active;         /* memory.edn is merged and rewritten */
	uint64_t epoch;          /* of the other writer's last file */
	uint64_t sequence;       /* last applied */
	uint64_t edn_sequence;   /* last that changed memory.edn's content */
	uint64_t edn_written;    /* last that memory.edn on disk holds */
	uint64_t changes;        /* that memory.edn lacks */
	uint64_t changes_in_flight;
	uint64_t next_ino;
	uint64_t version;
	bool rewrite_wanted; /* memory.edn on disk is not what it should be, whoever did it */
	int broken;          /* applying failed half-way: changes are refused until a remount */
	mode_t default_mode;
	struct timespec first_seen; /* mtime of what was never saved here */

	pthread_mutex_t adoption_lock; /* held while the listener is told */
	memory_adoption_fn *adoption;  /* guarded by adoption_lock */
	void *adoption_context;
	struct buf adopted;    /* by the adoption under way: paths; guarded by adoption_lock */
	bool adopted_anywhere; /* these are not all */

	struct attention attention;
	pthread_mutex_t switching; /* a job of the flush thread, one at a time */
	struct eav_side eav;
	struct telling telling;
	struct read_counts read;
	struct type_counts types;
	struct resident resident;
	uint64_t commits;        /* guarded by lock */
	pthread_mutex_t failing; /* guards failures */
	struct failure failures[FAILING_COUNT];
	struct remade remade[FAILING_COUNT]; /* of EAV and SAVED; guarded by failing */
	bool saved_damaged;                  /* at open: that is why it failed */
	bool recovers; /* at open: the EAV store, used alone, lacks what it held */
	bool foreign; /* at open, then the worker's: memory.edn is not the file that was left here */
	bool file_noted; /* at open: saved's note of it is true to the stat */
	struct flush flush;
	struct work work;
	struct migration *migration;
	struct validator *validator;
	struct store_trees *trees;
};

/* The flush thread waits so long, unless so much is pending. */
enum { FLUSH_DELAY_MS = 50, FLUSH_BYTES = 4 << 20 };
enum { INO_ROOT = 1, INO_FIRST = 1024 };
#define INO_HASHED ((uint64_t)1 << 63)

#endif
