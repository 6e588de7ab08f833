/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_INTERNAL_H
#define OUROFS_MEMORY_INTERNAL_H

#include "memory_doc.h"
#include "memory_state.h"

/* What memory_*.c share: what each of them offers to the others, by file, where it has no header of its own. */

/* ---- memory_count.c ---- */

/* The entity's type, of a doc whose id and item are known. */
const char *memory_type_of(struct memory *m, const struct doc *doc);
/* The same where no pattern matches the key. What is not looked into is a cache. */
const char *memory_type_of_value(const struct memory *m, struct slice text);
/* Under the writer's lock: what the document at node is from now on; that it goes. */
void memory_count_in(struct memory *m, struct tree_node *node, struct slice key, struct slice text);
void memory_count_out(struct memory *m, struct tree_node *node);
/* Those of a collection's directory are counted already, and are back. With the tree held. */
void memory_count_loaded(struct memory *m, const struct tree_node *dir);

/* ---- memory_commit.c, memory_tables.c: where the memory's state changes ---- */

/*
 * A key of more bytes, with its member's, is none that a name could make: another program put it into memory.edn, and a change
 * takes many times as much memory. -EFBIG for all that does more than to delete it.
 */
enum { KEY_MAX_BYTES = 4 << 20 };
int memory_check_keys(const struct change *changes, size_t count, struct err *err);
/* Under the writer's lock: journals the changes as one record and applies them. */
int memory_commit(struct memory *m, const struct change *changes, size_t count, struct timespec now,
	struct err *err);
/* The same where the changes have their text from a buf, or NULL: it is released as soon as the record has a copy. */
int memory_commit_text(struct memory *m, const struct change *changes, size_t count,
	struct buf *text, struct timespec now, struct err *err);
/* The same with encoded changes (memory_encode). */
int memory_commit_payload(struct memory *m, enum journal_kind kind, const struct buf *payload,
	struct timespec now, struct err *err);
/*
 * All up to this record is safe from power loss: by the journal, or, where that can't be synced, by the stores. Under no
 * lock but memory.switching.
 */
int memory_make_durable(struct memory *m, uint64_t sequence, struct err *err);
/* Applies what the journal says. */
int memory_replay(void *memory, const struct journal_record *record, struct err *err);
int memory_exile(struct memory *m, uint64_t ino);
/* 1, 0, -ENOMEM. */
int memory_is_ghost(const struct memory *m, struct entity_id id);
int memory_flush_ghosts(struct memory *m);
/* saved.bytes and saved.text are copied. */
int memory_set_pending(struct memory *m, struct slice name, const struct saved_record *saved,
	uint64_t sequence);
void memory_drop_pending(void *pending);
/* The tree's entry of an id; times NULL: no directory's mtime changes. */
int memory_add_node(struct memory *m, struct entity_id id, bool directory,
	const struct tree_times *times);
/*
 * 0 or -ENOMEM; *node is NULL where none is there. An entity's is the document's, or the directory of a collection that
 * has its key.
 */
int memory_find_node(struct memory *m, struct entity_id id, bool directory,
	struct tree_node **node);
int memory_find_entity(struct memory *m, struct entity_id id, struct tree_node **node);
void memory_note_dir(void *memory, struct slice path);
struct timespec memory_now(void);

/* ---- memory_target.c: a path that is to be written ---- */

struct target {
	struct doc doc; /* id; loaded where the document exists */
	bool exists;
};
#define TARGET_INIT ((struct target){DOC_INIT, false})

/* Under memory.lock. May a document be, or come to be, at path? */
int target_resolve(struct memory *m, struct slice path, struct target *target, struct err *err);
/* Under the writer's lock: is the new key free by Clojure's =? -EEXIST. */
int target_check_free(struct memory *m, const struct target *target, struct err *err);
/* May this value stand there? A map where a collection belongs: -EISDIR. */
int target_check_value(struct memory *m, const struct target *target, bool is_map, struct err *err);
static inline void target_release(struct target *target)
{
	doc_release(&target->doc);
}

/* ---- memory_held.c: what clojure.edn can't read, but memory.edn held ---- */

/*
 * Into a table of tokens, from a canonical key, from an entry (an ednfile_each_fn: what is not flagged isn't looked at,
 * nor a value that is not shown). 0, -ENOMEM.
 */
struct held_adding {
	const struct memory *m;
	struct table *held;
};
int held_add_key(const struct memory *m, struct table *held, struct slice key);
int held_add_entry(void *adding, struct slice key, const struct ednfile_item *item);
int held_merge(struct table *held, const struct table *more);
/* Is every token in v one that clojure.edn reads or that was held? 0, -EBADMSG, -ENOMEM. Takes the lock. */
int held_check_value(struct memory *m, const struct edn *v, struct err *err);
/* The same of a canonical key or member, under memory.lock. */
bool held_has_key(const struct memory *m, struct slice key);

/* ---- memory_judge.c: may these bytes be saved? ---- */

/* A save on its way: parsed and judged outside the writer's lock, committed inside. */
struct save {
	struct hash128 identity;
	struct buf text; /* as it is to stand in memory.edn */
	bool is_map;
	bool has_current;
	struct buf current;              /* what memory.edn holds there, deleted or not */
	struct hash128 current_identity; /* zero: not known */
};

/* The checks that need no writer's lock; the caller repeats those of the place under it. */
int save_judge(struct memory *m, struct slice path, struct slice json, struct save *save,
	struct err *err);
void save_release(struct save *save);

/* ---- memory_entity.c ---- */

/* The text of an entity in a file; collections as such are "{}". -ENOENT, -ENOMEM. */
int memory_entity_text(const struct ednfile *file, struct entity_id id, bool collection,
	struct slice *text);
/*
 * Are two EDN texts the same value? What had to be parsed to know is remembered in
 * verdicts, by the texts' hashes. What is not looked into is another value than any other text.
 */
int memory_identical(const struct memory *m, struct table *verdicts, struct slice a, struct slice b,
	bool *same);
/* edn_identity of the value that the text is; of what is not looked into, one of its text. -EBADMSG, -ENOMEM. */
int memory_text_identity(const struct memory *m, struct slice text, struct hash128 *identity);

/* ---- memory_value.c: values that other programs put into memory.edn ---- */

size_t memory_max_values(const struct memory *m); /* that a document may have */
/* Else memory_value_read fails, without looking at it. */
bool memory_value_is_short(const struct memory *m, struct slice text);
/*
 * A value's text as a value. -EFBIG, with the reason and before it takes much memory: no save could have brought it
 * there, so it is kept, and not looked into. -EBADMSG, -ENOMEM.
 */
int memory_value_read(const struct memory *m, struct arena *arena, struct slice text,
	struct edn *value, struct err *err);
/* Appends its JSON. -EFBIG: that passes doc_max. */
int memory_value_print(const struct memory *m, const struct edn *value, struct buf *out,
	struct err *err);
/* Both. */
int memory_value_show(const struct memory *m, struct slice text, struct buf *out, struct err *err);

/* ---- memory_base.c ---- */

/* The base of an entity that was changed here since the other writer's last file; else -ENOENT. */
int memory_base(struct memory *m, struct slice name, struct saved_base *base);
/* change_encode, with the base that the change leaves. Under the writer's lock. */
int memory_encode(struct memory *m, struct buf *payload, const struct change *change);
/*
 * The first member makes the key: said in so many words, as the key has a base of its own, and is an entity in the EAV
 * store. Nothing where the key is there.
 */
int memory_encode_collection(struct memory *m, struct buf *payload, struct slice key);

enum verdict {
	VERDICT_ADOPT,    /* not changed here since: theirs is taken over */
	VERDICT_STALE,    /* theirs is a copy of what was: ours is put back */
	VERDICT_CONFLICT, /* both changed it: ours stands */
};
/* Of a value that is not ours. base NULL: there is none. */
enum verdict memory_judge_theirs(const struct saved_base *base, struct hash128 theirs);

/*
 * Is what a file lacks no deletion? So much comes from a writer that started empty; and nobody deletes what is in a file by
 * removing the file.
 */
bool memory_lacks_most(const struct ednfile *file, size_t lacking, size_t of);

/* ---- memory_adopt.c ---- */

/*
 * Calls fn under the writer's lock, between telling the listener that an adoption begins and that it ends: it
 * holds readers up in between.
 */
typedef int memory_adopt_fn(void *context, struct err *err);
int memory_adopt(struct memory *m, memory_adopt_fn *fn, void *context, struct err *err);
/* For fn: commits what was encoded (memory_encode), if that is anything. */
int memory_adopt_payload(struct memory *m, const struct buf *payload, struct err *err);

/* ---- memory_flush.c, memory_worker.c, memory_merge.c, memory_conflict.c ---- */

int memory_flush_start(struct memory *m, struct err *err);
int memory_worker_start(struct memory *m, struct err *err);
int memory_worker_stop(struct memory *m, struct err *err);
/* memory.edn as it stands, or from (a file that has no name any more), is merged. Without locks. */
int memory_merge(struct memory *m, const char *from, struct err *err);
/* Keeps a value that lost as STORE/conflicts/<path>: as JSON, or its text where it is not shown. */
int memory_keep_conflict(struct memory *m, struct slice path, struct slice text);
/*
 * Moves memory.edn to memory.edn.bad-<time>, or writes a copy there and leaves it where it is. kept is that file's name,
 * or "" where there was none to keep.
 */
int memory_set_aside(struct memory *m, const struct buf *copy, char kept[SET_ASIDE_NAME],
	struct err *err);
/* Is a file of that name still beside memory.edn? Not where it is "". */
bool memory_is_beside(const struct memory *m, const char *name);

/* ---- memory_event.c; more is in memory_event.h ---- */

static inline bool memory_is_heard(struct memory *m)
{
	return atomic_load_explicit(&m->telling.heard, memory_order_relaxed);
}
void memory_tell(struct memory *m, const struct memory_event *event);
void memory_telling_init(struct telling *telling);
void memory_telling_release(struct telling *telling);

/* ---- memory_mode.c ---- */

const char *memory_mode_name(struct memory *m);
int memory_set_mode(struct memory *m, enum mode mode, bool force, struct err *err);

/* Runs it on the flush thread, behind what is pending. With memory.switching held. */
int memory_run_job(struct memory *m, struct flush_job *job, struct err *err);

/* ---- memory_migrate.c ---- */

int memory_migration_new(struct memory *m);
/* Goes on with what a mount before this one has begun. */
int memory_migration_start(struct memory *m, struct err *err);
void memory_migration_stop(struct memory *m); /* it goes on at the next mount */
void memory_migration_free(struct memory *m);

/* ---- memory_rewrite.c ---- */

/* Keeps in saved what memory.edn is: "intent", before it comes to be so, or "file". */
int memory_note_file(struct memory *m, const char *name, struct hash128 hash, uint64_t sequence,
	struct err *err);

/* ---- memory_load.c, memory_restore.c: at open ---- */

/* Reads counters and notes, finds out whether memory.edn is the file that was left here. */
int memory_load_notes(struct memory *m, struct err *err);
/*
 * Brings to the file in memory what memory.edn does not hold, or that another writer overwrote.
 * eav_current: the EAV store, if open, is as it was when memory.edn was last left here.
 */
int memory_restore(struct memory *m, bool eav_current, struct err *err);
/*
 * What saved knows of documents that are neither in the file in memory nor pending: removed by another writer
 * while nobody looked. Left there, it would count among what a later file lacks, and come back.
 */
int memory_forget_gone(struct memory *m, struct err *err);
/* One document: its JSON, or where bytes.ptr is NULL its EDN. */
int memory_restore_value(struct memory *m, struct entity_id id, struct slice bytes,
	struct slice text);
/* Every document and directory of memory.edn becomes a node, with the attributes that saved knows. */
int memory_load_tree(struct memory *m, struct err *err);
/* The members of a collection that was left away: a tree_load_fn. How many these are. */
int memory_load_members(void *memory, struct tree_node *dir);
int memory_count_members(struct memory *m, const struct tree_node *dir, uint32_t *count);

#endif
