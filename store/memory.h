/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_H
#define OUROFS_MEMORY_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "schema.h"

/*
 * The memory: the one door through which the filesystem and the tools reach the stores.
 *
 * Everything is named by path (path.h): "config.json", "presence/s1/alice.json", "" for the root.
 * Any thread may call anything; each call is atomic. A change that returned 0 is committed: it is in
 * the journal, everyone reads it from now on, and it survives SIGKILL; memory.edn follows within
 * edn_delay_ms (memory_sync waits for that).
 *
 * Errors: -ENOENT, -EINVAL (a name that is no key's own name), -EBADMSG (no JSON, or no document that
 * maps to readable EDN; line and column), -EFBIG (larger than doc_max, or more values than it allows; also of what another program put into memory.edn,
 * which can be read as little as it could be saved), -EISDIR (a map where a collection
 * belongs; a directory where a file is meant), -ENOTDIR, -EEXIST (also: a key that Clojure's = takes for
 * another one that exists), -ENOTEMPTY, -EXDEV, -EROFS, -ENOSPC, -EIO, -ENOMEM.
 */
struct memory;

struct memory_options {
	const char *edn_path;  /* memory.edn */
	const char *store_dir; /* STORE, made 0700 where missing; locked while the memory is open */
	const struct schema *schema;
	unsigned edn_delay_ms; /* debounce of the rewrite: 100 */
	size_t doc_max_bytes; /* 32 MiB; a document may have a twelfth as many values, and 65,536 */
	bool read_only; /* nothing is written to the disk; what others write to memory.edn is shown */
	bool still; /* read_only: as memory.edn was when it was opened, whatever is written there later */
	const char *
		mode; /* to switch to, as memory_switch's word; NULL: as it was, datalevin-first at first */
	bool force; /* as "force " in that word */
	bool patient; /* who has the store may have been unmounted this instant: waits for two seconds */
	/* /proc/self/statm, of one who can't open it any more by then; the memory's from then on. 0: the memory opens it */
	int statm_fd;
};

/*
 * -EBUSY: another ourofs has the store (its pid is in the text). -EBADMSG: memory.edn is broken
 * ("line:column: cause"; nothing was touched).
 */
int memory_open(struct memory **memory, const struct memory_options *options, struct err *err);
/* Nobody will be served any more, and memory_close comes: whoever wants the store next waits for that. */
void memory_ends(struct memory *memory);
/* Brings memory.edn up to date, then frees all. The error, if any, is the last rewrite's. */
int memory_close(struct memory *memory, struct err *err);

/* Someone is served: what works in the background makes way for an instant. Costs next to nothing. */
void memory_serves(struct memory *memory);

enum memory_kind { MEMORY_DOCUMENT, MEMORY_DIRECTORY };

struct memory_stat {
	enum memory_kind kind;
	mode_t mode;      /* permission bits only */
	uint64_t ino;     /* stable over remounts, never shared by two paths; follows a rename */
	uint64_t version; /* documents: another number after every change of the bytes */
	uint64_t
		size; /* documents: bytes that memory_read returns; of a hidden one, those in memory.edn */
	bool hidden; /* a document that memory_read does not return: -EFBIG */
	struct timespec mtime;
};

/* A path that ends in a directory's name may be a collection, a namespace, or both. */
int memory_stat(struct memory *memory, struct slice path, struct memory_stat *st);
/* The same of some names in one directory, each with a verdict of its own, for less than one by one. */
struct memory_named {
	struct slice name;
	int ret; /* out, as st, which is undefined where it is not 0 */
	struct memory_stat st;
};
void memory_stat_names(struct memory *memory, struct slice directory, struct memory_named *named,
	size_t count);
/* stat (may be NULL) and bytes are of one version. bytes is appended to. */
int memory_read(struct memory *memory, struct slice path, struct memory_stat *st, struct buf *bytes,
	struct err *err);

struct memory_attributes {
	uint64_t
		ino; /* memory_put of a new document: its number, from memory_new_ino; 0: chosen here */
	bool has_mode;
	bool has_mtime;
	mode_t mode;
	struct timespec mtime;
};

/* A number that no document has or had: a file may show it before its first save. */
uint64_t memory_new_ino(struct memory *memory);

/* May a document be created there, as far as the name goes? 0, -EINVAL with the reason, -ENOTDIR ... */
int memory_may_create(struct memory *memory, struct slice path, struct err *err);

/*
 * Saves a document, new or not: the bytes are kept as they are and shown while the value is the
 * saved one. Without has_mode an existing document keeps its mode; without has_mtime it is now.
 * unchanged (may be NULL): the bytes were the committed ones already.
 */
int memory_put(struct memory *memory, struct slice path, struct slice json,
	const struct memory_attributes *attributes, struct memory_stat *st, bool *unchanged,
	struct err *err);
/* Would memory_put take these bytes? The same errors, nothing changed. */
int memory_check(struct memory *memory, struct slice path, struct slice json, struct err *err);
int memory_delete(struct memory *memory, struct slice path, struct err *err);
/* Mode and mtime of a document or a directory; kept over remounts. */
int memory_set_attributes(struct memory *memory, struct slice path,
	const struct memory_attributes *attributes);

enum { MEMORY_NOREPLACE = 1, MEMORY_EXCHANGE = 2 };
/* A document. It keeps its bytes, ino, mtime and mode; a document at `to` is replaced. */
int memory_rename(struct memory *memory, struct slice from, struct slice to, unsigned flags,
	struct err *err);
/*
 * Every document below a directory, in one commit. The target must not hold keys (-ENOTEMPTY).
 * -EXDEV where one of the new paths is no key's.
 */
int memory_rename_directory(struct memory *memory, struct slice from, struct slice to,
	struct err *err);
/* Removes the {} of an empty collection. -ENOTEMPTY; -ENOENT where no key makes the directory. */
int memory_remove_directory(struct memory *memory, struct slice path, struct err *err);

/*
 * The names in a directory, each once, sorted by bytes. A negative return stops. fn is called under the memory's lock,
 * so that a million names need not be kept for it: it may take notes, and not ask the memory.
 */
typedef int memory_list_fn(void *context, struct slice name, enum memory_kind kind, uint64_t ino);
int memory_list(struct memory *memory, struct slice directory, memory_list_fn *fn, void *context);
/*
 * Nobody looks into these directories any more, each path with a NUL behind: what is known of their names leaves
 * memory, and is read again when someone comes back.
 */
void memory_forget(struct memory *memory, struct slice paths);
/* Is there anything in it but that name? 0: nothing; -ENOTEMPTY, -ENOENT, -ENOTDIR. Costs no list. */
int memory_holds_only(struct memory *memory, struct slice directory, struct slice name);

/*
 * What extended attributes show: the key ("[:presence/s1 \"alice\"]" for a member), the entity type, and the
 * store that serves it: "eav", "edn", or "overlay" for what was just saved.
 */
int memory_describe(struct memory *memory, struct slice path, struct buf *key, const char **type,
	const char **source);

/*
 * Somebody else's change of memory.edn is about to be taken over, and has been: everything read
 * between the two may be of either side. Called by the memory's own thread with no lock held; the
 * function may read the memory but not change it. NULL: nobody listens any more, and nobody is being told.
 */
enum memory_adoption { MEMORY_ADOPTION_BEGINS, MEMORY_ADOPTION_ENDS };
/*
 * In the end: the paths at which a document or a directory may have come, changed or gone, sorted by bytes, each once and with
 * a NUL behind; directories above them come and go, too. NULL: at any path.
 */
typedef void memory_adoption_fn(void *context, enum memory_adoption phase,
	const struct slice *paths);
void memory_on_adoption(struct memory *memory, memory_adoption_fn *fn, void *context);

/*
 * What happens in the memory: memory/save memory/get (a fallback to memory.edn) memory/delete memory/rename
 * mode-changed migration-started migration-progress migration-paused migration-completed migration-failed
 * migration-stopped validation-completed outside-change rejected conflict edn-rewritten error store-degraded
 * store-recovered hidden (memory_read, -EFBIG: once while the value stands). Slices last as long as the call, and hold nothing that is in a document.
 */
struct memory_event {
	const char *name;
	struct slice key;   /* as EDN: ":config", "[:presence/s1 \"alice\"]"; empty: of no entity */
	const char *store;  /* "edn", "eav", "both", "saved", "journal", "memory" or NULL */
	int ret;            /* negative errno of what failed, or 0 */
	uint64_t count;     /* of entities or changes, where there are more */
	double duration_ms; /* 0: took none */
	struct slice detail;
	const char *mode; /* filled in */
};
/* Any thread, inside any call; may not call the memory; quick. */
typedef void memory_event_fn(void *context, const struct memory_event *event);
/* Right after open; NULL before close: afterwards nobody is being told. */
void memory_on_event(struct memory *memory, memory_event_fn *fn, void *context);

/* What fails at present. Fills at most `most` rows, returns how many. */
struct memory_failure {
	/* "edn"; "eav"; "saved", what is kept beside both; "journal"; "memory": see -EIO below; "watch", memory.edn's */
	const char *store;
	int ret;
	long long since_s; /* wall clock */
	char reason[ERR_TEXT];
};
enum { MEMORY_FAILURES_MAX = 6 };
size_t memory_failures(struct memory *memory, struct memory_failure *rows, size_t most);

/* The committed changes so far are on disk, safe from power loss. Concurrent callers share a sync. */
int memory_fsync(struct memory *memory, struct err *err);
/* journal_barrier: for what a change that follows leaves to real files. */
void memory_barrier(struct memory *memory);
/* Additionally memory.edn holds them all. */
int memory_sync(struct memory *memory, struct err *err);

/*
 * Switches the mode; 0 when the stores agree as it needs them to, and the switch is durable. It outlives
 * the mount. -EINVAL: no such word; -EBUSY: datalevin-only, while an entity lives only in memory.edn or
 * differs (with "force " before the word that is mended first); errors of the stores. Then nothing changed.
 */
int memory_switch(struct memory *memory, struct slice word, struct err *err);

/*
 * Migration in the background: what memory.edn holds is brought to the EAV store, sessions first, then
 * projects, learnings, the rest. The word: "all", "sessions", "projects", "learnings", or one key as EDN, which
 * begin one; "pause", "resume", "stop". Returns at once. What is under way goes on over a kill and a remount.
 * -EINVAL: no such word or key, or nothing to pause. -EBUSY: one is under way; or the mode writes no EAV
 * store. -EROFS.
 */
int memory_migrate(struct memory *memory, struct slice word, struct err *err);

enum { MIGRATION_WHAT_MAX = 508, MIGRATION_TYPES_MAX = 64, MIGRATION_FAILURES_MAX = 100 };

struct memory_migration {
	const char *state;             /* idle, running, paused, done, failed, stopped */
	char what[MIGRATION_WHAT_MAX]; /* of the last that began */
	/* entities; done includes skipped, those that were there already */
	size_t total, done, failed, skipped;
	double rate_per_s;
	double left_s;                  /* negative: not known */
	struct timespec started, ended; /* wall clock; 0: not yet */
	size_t type_count;
	struct memory_migration_type {
		const char *type;
		size_t total, done, failed;
	} types[MIGRATION_TYPES_MAX];
	size_t failure_count; /* at most MIGRATION_FAILURES_MAX are named */
	struct memory_migration_failure {
		char key[200];
		char error[100];
	} failures[MIGRATION_FAILURES_MAX];
	char error[200]; /* why it failed, or was stopped */
};
/* One consistent moment of it. It is some 40 KB: not for a small stack. */
void memory_migration(struct memory *memory, struct memory_migration *migration);

/* The whole memory as one EDN map, as it would stand in memory.edn now. */
int memory_text(struct memory *memory, struct buf *text);

/*
 * Puts the entities of a file of EDN in place of ours, in one commit. -ENOENT: there is no such file; -EBADMSG: it is
 * broken ("line:column: cause"), or holds what Ouroboros could not read; -EEXIST: a key that Clojure's = takes for
 * another one that is there. Then nothing changed.
 */
enum memory_import_kind { MEMORY_IMPORT_ADDS, MEMORY_IMPORT_CHANGES, MEMORY_IMPORT_REMOVES };
typedef void memory_import_fn(void *context, enum memory_import_kind kind, struct slice key);
struct memory_import {
	const char *path;
	bool replace;         /* what the file lacks goes, too */
	bool dry_run;         /* counts and tells, and changes nothing */
	memory_import_fn *fn; /* NULL, or told of each entity */
	void *context;
	size_t count[3]; /* out: by kind */
};
int memory_import(struct memory *memory, struct memory_import *import, struct err *err);

struct memory_type_count {
	const char *type;
	size_t entities;
};

struct memory_health {
	const char *mode;
	size_t keys; /* of the top level */
	size_t directories;
	size_t pending; /* committed changes that memory.edn does not hold yet */
	uint64_t journal_bytes;
	uint64_t edn_bytes;
	size_t unreadable_keys; /* entries of memory.edn that Clojure can't read */
	size_t trailing_bytes;  /* behind the first form of memory.edn, ignored */
	uint64_t rewrites;
	struct timespec last_rewrite; /* wall clock; 0 before the first */
	double last_rewrite_ms;
	uint64_t outside_changes; /* times memory.edn was found changed by someone else */
	uint64_t stale_put_back;  /* values of his that were older copies, ours put back */
	uint64_t conflicts;       /* values that both had changed, his kept under /.conflicts */
	/* "", or how his file was broken, or that it lacked most, and where it is; as long as it is there */
	char set_aside[ERR_TEXT];
	struct timespec set_aside_since; /* the last time */
	bool saved_damaged;              /* it was found so while it was in use */
	bool saved_doubtful; /* saved/data.mdb was made anew, and may lack what was saved last */
	long long saved_remade_s;         /* when */
	char saved_remade[ERR_TEXT + 64]; /* what was wrong with it */
	size_t overlay;                   /* committed changes that are not in the stores yet */
	const char *eav_state;            /* "closed", "being brought up", "ready", "failed" */
	char eav_reason[ERR_TEXT];        /* of "failed" */
	uint64_t eav_entities;            /* documents and collections */
	uint64_t eav_datoms;
	uint64_t eav_bytes;
	uint64_t eav_commits;
	uint64_t commits;       /* to the journal since the mount */
	uint64_t reads_overlay; /* memory_read, by where the document was */
	uint64_t reads_eav;
	uint64_t reads_edn;
	uint64_t read_fallbacks; /* of reads_edn, those that the EAV store was asked for first */
	uint64_t eav_reads;      /* documents that were read from it */
	uint64_t eav_fallbacks;  /* ... that it had not, and came from memory.edn */
	int flush_error;         /* of what brings the stores up to the journal; 0: well */
	char flush_reason[200];
	int edn_error; /* negative errno of the last rewrite, 0 when it went well */
	char edn_reason[200];
};
void memory_health(struct memory *memory, struct memory_health *health);
/* Loads the members of every collection. */
size_t memory_count_documents(struct memory *memory);
/* Documents by type; at most `most` rows are filled, returns how many there are. The first call looks at each. */
size_t memory_count_types(struct memory *memory, struct memory_type_count *rows, size_t most);
/*
 * The documents in the EAV store by type: calls fn once a type, whose text lasts as long as the call, and
 * which may not call the memory. The first call looks at every header. Nothing while it can't be read.
 */
typedef int memory_type_fn(void *context, struct slice type, uint64_t entities);
int memory_count_eav_types(struct memory *memory, memory_type_fn *fn, void *context);
/*
 * The entries of memory.edn that Clojure could not read, in its order: a document's or a collection's key and
 * path. The function may not call the memory; a negative return stops.
 */
typedef int memory_unreadable_fn(void *context, struct slice key, struct slice path);
int memory_each_unreadable(struct memory *memory, memory_unreadable_fn *fn, void *context);

#endif
