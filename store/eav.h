/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EAV_H
#define OUROFS_EAV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "background.h"
#include "buf.h"
#include "edn.h"
#include "err.h"
#include "hash.h"
#include "saved.h"

/*
 * The EAV store: every entity as a document and as datoms (entity, attribute, value), in the LMDB
 * environment STORE/data.mdb.
 *
 *	eav_open(&eav, dir_fd, path, false, &err);
 *	eav_write(eav, items, count, notes, note_count, &err);	// one synced transaction
 *	eav_read_begin(eav, &reader);
 *	eav_get(&reader, name, &record);	// record.bytes is LMDB's memory until ...
 *	eav_read_end(&reader);
 *
 * Reading: any thread, many at once, each read ended by the thread that began it. Writing: any thread, one after
 * another, never inside a read of its own: the map grows by itself, for which all reads must have ended. What a reader sees is the state of one moment, however long it reads.
 *
 * An entity is named by entity_id_name (change.h). It has a number while it lives, a tombstone included.
 *
 * Datoms: a document that is a map has one for each of its attributes (its top-level keys, as
 * canonical EDN text: `:user/name`, `"text"`, `[1 2]`). A set, vector or list of scalars is one
 * datom an element, each value once; the order and the number of equal ones are the document's. Any other
 * collection and tagged value is one datom, as compact JSON, and so are all where those elements would be more than
 * EAV_MANY_MAX together. A map with more attributes than that has no datoms at all.
 *
 * On disk (format 2; format 1 is what STORE/saved/ has): four named databases. Numbers in keys are big
 * endian; those in values are the machine's own, as LMDB's are.
 *
 *	"ourofs"     notes: "format" u32, "next_entity" u64, and the caller's
 *	"documents"  name -> header, name, type, bytes
 *	"eav"        number, datom -> (nothing); and the number alone -> the entity's key in "documents"
 *	"ave"        datom, number -> (nothing)
 *
 *	datom      attribute as text, value
 *	text       its bytes, 0x00 as 0x00 0xff; then 0x00 0x00
 *	number     u64
 *	value      one byte (enum eav_type), then
 *	           LONG, INSTANT: i64 with the sign bit turned
 *	           DOUBLE: the bits; all of them turned if negative, else the sign bit; NaN is 0x7ff8000000000000
 *	           UUID: 16 bytes   KEYWORD (without its colon), STRING, JSON: text   others: nothing
 *	header     u64 hash64(the value from the next field to the type's end, seeded by hash64(key, seed 0))
 *	           u32 0x31564145 "EAV1"   u32 flags: 1 collection 2 deleted 4 has_mtime 8 base_exists
 *	           u64 number, transaction, version, ino   i64 seconds   u32 nanoseconds, mode
 *	           2*u64 text_hash, identity, base (high, low)
 *	           u64 hash64(bytes, seeded by the number)   u64 length of bytes
 *	           u32 length of name (0 if the key has it), of type
 *
 * So keys in byte order are values in order: by type, then by number, time, or bytes of UTF-8. LMDB's keys
 * have at most 511 bytes. A name of 511 and more is its first 495 bytes and its hash128 (high, low; big
 * endian) as a key. A datom of 503 and more is its first 487 bytes and its hash128, and the whole is the value beside
 * it, in both indexes. Keys of 511 bytes are the cut ones; reading puts them in the order of the whole.
 */
struct eav;

/* The order of values of different types. Written to disk. */
enum eav_type {
	EAV_NIL = 0x01,
	EAV_FALSE = 0x02,
	EAV_TRUE = 0x03,
	EAV_LONG = 0x10,    /* integer */
	EAV_DOUBLE = 0x11,  /* real: -Inf .. -0.0 0.0 .. Inf NaN */
	EAV_INSTANT = 0x18, /* integer: milliseconds since 1970 */
	EAV_UUID = 0x19,
	EAV_KEYWORD = 0x20, /* text without the colon */
	EAV_STRING = 0x21,  /* text */
	EAV_JSON = 0x30,    /* text: everything else, as json_print has it */
};

enum { EAV_MANY_MAX = 65536 };

/* An entity's header and document. What eav_get returns borrows LMDB's memory until eav_read_end. */
struct eav_record {
	bool collection; /* the key holds a map of entities (a directory): no bytes, no datoms */
	bool deleted;    /* a tombstone: memory.edn still holds `base` */
	bool has_mtime;
	bool base_exists; /* `base` is of what memory.edn held when both stores were last equal */
	mode_t mode;
	struct timespec mtime;
	uint64_t ino, version;
	uint64_t transaction; /* the journal's sequence number that wrote it */
	struct hash128 text_hash, identity, base;
	struct slice type;  /* of the entity: "presence" */
	struct slice bytes; /* the document: JSON, what read returns */
	uint64_t entity;    /* its number; eav_write gives it, and looks not at this */
};

/*
 * dir_fd and path are STORE's. Data of another program is refused with -EINVAL and never written; so is another
 * format. read_only: a missing environment is an empty one.
 */
int eav_open(struct eav **eav, int dir_fd, const char *path, bool read_only, struct err *err);
void eav_close(struct eav *eav);
/* env_compact, of its environment. */
void eav_compact(struct eav *eav);
/* env_unmap_step and env_unmap_pages, of its environment. */
bool eav_unmap_step(struct eav *eav, size_t *at);
void eav_unmap_pages(struct eav *eav);
void eav_release_memory(struct eav *eav); /* env_release_memory */

/* ---- reading: eav_read.c ---- */

struct eav_reader {
	struct eav *eav;
	void *txn;
};
int eav_read_begin(struct eav *eav, struct eav_reader *reader);
void eav_read_end(struct eav_reader *reader);

/* 0, -ENOENT, -EIO (a damaged record: its checksums tell, of header and bytes). */
int eav_get(struct eav_reader *reader, struct slice name, struct eav_record *record);

/*
 * In name order, from the first name >= from (empty: all), tombstones and collections included. A
 * non-zero return stops and is returned. A record is NULL where the header is damaged (and the name too short if
 * it was in there); its bytes are not looked at: eav_get verifies them.
 */
typedef int eav_each_fn(void *context, struct slice name, const struct eav_record *record);
int eav_each(struct eav_reader *reader, struct slice from, eav_each_fn *fn, void *context);

/*
 * How many documents each type has, of all that was committed: calls fn once a type, which may not call eav. Looks at
 * every header the first time; from then on each eav_write counts what it changes.
 */
typedef int eav_type_fn(void *context, struct slice type, uint64_t count);
int eav_each_type(struct eav *eav, eav_type_fn *fn, void *context);

/* Copies a note's value: 0, -ENOENT, or -EINVAL when it is not of this size. */
int eav_note_get(struct eav_reader *reader, const char *note, void *value, size_t size);

struct eav_stat {
	uint64_t entities; /* documents, collections and tombstones */
	uint64_t datoms;
	uint64_t file_bytes;
	uint64_t map_bytes;
	/* of committed writes since it was opened */
	uint64_t commits;
	uint64_t datoms_added;
	uint64_t datoms_removed;
};
int eav_stat(struct eav *eav, struct eav_stat *stat);

/* ---- datoms: eav_query.c ---- */

struct eav_value {
	enum eav_type type;
	union {
		int64_t integer;
		double real;
		unsigned char uuid[16];
		struct slice text;
	};
};

/* All that it points to lasts as long as the call. */
struct eav_datom {
	uint64_t entity;
	struct slice name; /* the entity's; empty when it is unknown, which is damage */
	struct slice attribute;
	struct eav_value value;
};
typedef int eav_datom_fn(void *context, const struct eav_datom *datom);

/* The datoms of one entity by attribute and value. -ENOENT: there is none such; -EIO: damage. */
int eav_datoms(struct eav_reader *reader, struct slice name, eav_datom_fn *fn, void *context);

/* The datoms of an attribute by value, from <= value <= to (NULL: no bound), then by entity number. */
int eav_range(struct eav_reader *reader, struct slice attribute, const struct eav_value *from,
	const struct eav_value *to, eav_datom_fn *fn, void *context);

/* ---- writing: eav_txn.c ---- */

struct eav_item {
	struct slice name;
	const struct eav_record *record; /* NULL: removes the entity altogether, datoms too */
	/* Its datoms are this value's, if it is a map. NULL: header and bytes only, the datoms stay (a collection
	 * and a tombstone never have any). */
	const struct edn *value;
};

/*
 * All of it or nothing, durable on return, in the order given where a name comes twice. Only datoms that differ are
 * written. -ENOSPC, -EIO, -ENOMEM.
 */
int eav_write(struct eav *eav, const struct eav_item *items, size_t count,
	const struct saved_note *notes, size_t note_count, struct err *err);

/*
 * For many entities that are new, most likely: their datoms, made and put in order by a thread that does not write, which
 * takes a good part of an eav_write.
 *
 *	eav_prepared_new(&prepared, most);
 *	eav_prepare(prepared, &items[i]);	// one behind the other
 *	eav_prepared_end(prepared);
 *	eav_write_prepared(eav, items, prepared, &err);	// as eav_write; of just those items, once or more
 *	eav_prepared_free(prepared);
 */
struct eav_prepared;
/* For so many items at most. -ENOMEM. */
int eav_prepared_new(struct eav_prepared **prepared, size_t most);
/* -ENOMEM, -EOVERFLOW: then it is of no use any more. */
int eav_prepare(struct eav_prepared *prepared, const struct eav_item *item);
int eav_prepared_end(struct eav_prepared *prepared);
/* Behind that: this item is not written after all, and those behind it move up. */
void eav_prepared_drop(struct eav_prepared *prepared, size_t item);
int eav_write_prepared(struct eav *eav, const struct eav_item *items, struct eav_prepared *prepared,
	struct err *err);
void eav_prepared_free(struct eav_prepared *prepared);

/* Told of each name that was written, after the commit, by the writing thread. Set before the first write. */
typedef void eav_written_fn(void *context, struct slice name);
void eav_on_write(struct eav *eav, eav_written_fn *fn, void *context);
/* A long write makes way between its steps (background.h). Set before the first write, outlives the store. */
void eav_make_way(struct eav *eav, struct attention *attention);

#endif
