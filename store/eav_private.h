/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EAV_PRIVATE_H
#define OUROFS_EAV_PRIVATE_H

#include "arena.h"
#include "eav.h"
#include "env.h"

enum { EAV_NOTES, EAV_DOCUMENTS, EAV_EAV, EAV_AVE, EAV_TABLES }; /* of env.tables */

#define EAV_NEXT_ENTITY "next_entity" /* a note: u64, the next number to be given */

/* ---- documents by type: eav_types.c ---- */

struct eav_type_count {
	struct slice type;
	int64_t documents; /* or by how many there are more */
};

/* Zeroed to begin with. */
struct eav_types {
	struct arena arena; /* of their names */
	struct eav_type_count *list;
	size_t count, cap;
};

struct eav {
	struct env env;
	/* of what was committed; written inside env_write, read anywhere, atomically */
	uint64_t datoms_added;
	uint64_t datoms_removed;
	eav_written_fn *written; /* or NULL */
	void *written_context;
	struct attention *attention; /* or NULL */
	pthread_mutex_t types_lock;
	/* guarded by types_lock */
	struct eav_types types;
	bool types_known;
	uint64_t types_from; /* the transaction they were counted in: what came later was added */
};

/* Collections and tombstones have no type. 0 or -ENOMEM. */
int eav_types_add(struct eav_types *types, const struct eav_record *record, int documents);
void eav_types_release(struct eav_types *types);
/* What a transaction that was committed changed. */
void eav_types_written(struct eav *eav, const struct eav_types *more, uint64_t transaction);
/* What was committed is not known: they are to be counted once more. */
void eav_types_forget(struct eav *eav);

/* As eav_open, but the map begins so small (0: as ever). For tests of its growing. */
int eav_open_sized(struct eav **eav, int dir_fd, const char *path, bool read_only, size_t map_bytes,
	struct err *err);

static inline MDB_val eav_val(struct slice s)
{
	return (MDB_val){s.len, (void *)(uintptr_t)s.ptr};
}

static inline struct slice eav_slice(MDB_val val)
{
	return slice_of(val.mv_data, val.mv_size);
}

/* ---- keys: eav_key.c ---- */

enum {
	EAV_KEY_MAX = 511, /* a key of this size is a cut one */
	EAV_NUMBER = 8,
	EAV_HASH = 16,
	EAV_NAME_CUT = EAV_KEY_MAX - EAV_HASH,
	EAV_DATOM_CUT = EAV_KEY_MAX - EAV_HASH - EAV_NUMBER,
	EAV_DATOM_KEY_MAX = EAV_DATOM_CUT + EAV_HASH,
};

/* A key under construction: a name's, or number and datom in either order. */
struct eav_key {
	char bytes[EAV_KEY_MAX];
	size_t len;
};

static inline MDB_val eav_key_val(const struct eav_key *key)
{
	return (MDB_val){key->len, (void *)(uintptr_t)key->bytes};
}

/* What stands for text in a key that may have so many bytes before it is cut: text itself or, in to, cut and hash. */
struct slice eav_cut(struct slice text, size_t cut, char *to);
void eav_key_name(struct eav_key *key, struct slice name);
void eav_key_number(struct eav_key *key, uint64_t number);
/* part is a datom's part of a key: eav_cut(datom, EAV_DATOM_CUT) */
void eav_key_eav(struct eav_key *key, uint64_t number, struct slice part);
void eav_key_ave(struct eav_key *key, struct slice part, uint64_t number);
uint64_t eav_number_of(const char *bytes);

/* ---- headers of documents: eav_document.c ---- */

/* Does val have what its key's checksum says, up to the bytes? 0 or -EIO. name is empty if val has lost it. */
int eav_document_decode(MDB_val key, MDB_val val, struct slice *name, struct eav_record *record);
int eav_document_verify_bytes(MDB_val val, const struct eav_record *record);
/* flags: MDB_APPEND where the name's key is, most likely, behind all that are there, else 0. */
int eav_document_put(struct eav *eav, MDB_txn *txn, const struct eav_item *item, uint64_t entity,
	unsigned flags);

/* ---- values: eav_value.c ---- */

void eav_text_encode(struct buf *out, struct slice text);
/* What has a type of its own; false: it is JSON's. */
bool eav_value_of_edn(const struct edn *v, struct eav_value *value);
void eav_value_encode(struct buf *out, const struct eav_value *value);
/* The EAV_JSON of v: its text is nowhere else, however long it is. */
void eav_json_encode(struct buf *out, const struct edn *v);
/* Undoes both. What text has to be put together is put into scratch. 0 or -EIO. */
int eav_text_decode(struct slice *in, struct buf *scratch, struct slice *text);
int eav_value_decode(struct slice in, struct buf *scratch, struct eav_value *value);

/* ---- the datoms of a value: eav_datoms.c ---- */

struct eav_new_datom {
	size_t datom; /* where it is in eav_datoms.bytes */
	uint32_t datom_len;
	uint16_t part_len; /* of the key's part */
	bool cut;          /* that is behind the datom, and not the datom itself */
	bool write;
};

struct eav_datoms {
	struct buf bytes;
	struct eav_new_datom *list;
	size_t count, cap;
	struct buf text, attribute; /* of the attribute in hand: in print, and encoded */
};

/* The datoms of a value, by key, each once; of none (NULL) and of what is no map: none. 0, -ENOMEM, -EOVERFLOW. */
int eav_datoms_of(struct eav_datoms *datoms, const struct edn *value);
/* The same, behind those that are there. */
int eav_datoms_add(struct eav_datoms *datoms, const struct edn *value);

static inline struct slice eav_datom_whole(const struct eav_datoms *d,
	const struct eav_new_datom *datom)
{
	return slice_of(d->bytes.ptr + datom->datom, datom->datom_len);
}

static inline struct slice eav_datom_part(const struct eav_datoms *d,
	const struct eav_new_datom *datom)
{
	size_t at = datom->cut ? datom->datom + datom->datom_len : datom->datom;

	return slice_of(d->bytes.ptr + at, datom->part_len);
}

/* What stands beside the key: the whole datom where the key is cut, else nothing. */
static inline struct slice eav_datom_beside(const struct eav_datoms *d,
	const struct eav_new_datom *datom)
{
	return datom->cut ? eav_datom_whole(d, datom) : SLICE_LITERAL("");
}

void eav_datoms_release(struct eav_datoms *datoms);

/* ---- what a transaction changes in "ave": eav_index.c ---- */

/*
 * Gathered first and written in the order of its keys: in that of the entities each would be on another page.
 * Zeroed to begin with.
 */
struct eav_index {
	struct buf bytes;
	struct arena kept; /* what large values are in */
	bool borrows;
	struct eav_index_row *rows;
	size_t count, cap;
};
int eav_index_put(struct eav_index *index, struct slice part, uint64_t entity, struct slice beside);
/* What eav_index_put was given of large values goes over to the index, which copied the small ones. -ENOMEM. */
int eav_index_keep(struct eav_index *index, struct buf *bytes);
int eav_index_remove(struct eav_index *index, struct slice part, uint64_t entity);
/* The last word on each key. 0, -ENOMEM, or LMDB's code. */
int eav_index_write(struct eav_index *index, MDB_txn *txn, MDB_dbi ave,
	struct attention *attention);
void eav_index_reset(struct eav_index *index);
void eav_index_release(struct eav_index *index);

/* ---- datoms that were made beforehand: eav_prepare.c ---- */

struct eav_prepared_row {
	size_t part;         /* where it is in datoms.bytes */
	uint32_t beside_len; /* right before it */
	uint32_t item;
	uint16_t part_len;
};

static inline bool eav_item_has_datoms(const struct eav_item *item)
{
	return item->record && !item->record->collection && !item->record->deleted;
}

struct eav_prepared {
	struct eav_datoms datoms; /* of all items, those of each behind those of the one before */
	size_t *ends;             /* of each item: where in datoms.list its own end */
	uint64_t *entities;       /* of each item: its number, if its rows are to be put */
	uint32_t *made; /* of each item that is to be written: which it was when it was prepared */
	size_t count, most;            /* items */
	struct eav_prepared_row *rows; /* of all datoms, in the order of "ave" */
};
/* Puts rows into "ave": of the items that have a number. 0 or LMDB's code. */
int eav_prepared_write(const struct eav_prepared *prepared, MDB_txn *txn, MDB_dbi ave,
	struct attention *attention);

/* ---- scanning in the order of whole names and datoms: eav_scan.c ---- */

struct eav_row {
	struct slice whole; /* name or datom */
	uint64_t number;    /* of indexes */
	MDB_val key, val;
};
/* Of an index: number and whole from key and val. 0, -EIO, or -ENOENT for the row of a number by itself. */
int eav_row_decode(unsigned table, struct eav_row *row);
/* A non-zero return stops the scan, which returns it. */
typedef int eav_row_fn(void *context, const struct eav_row *row);

struct eav_scan {
	unsigned table;
	struct slice
		prefix;    /* of the keys to look at, at most EAV_DATOM_CUT bytes behind a number */
	struct slice from; /* a whole name or datom; what is below is passed over */
	eav_row_fn *fn;
	void *context;
};
int eav_scan(struct eav_reader *reader, const struct eav_scan *scan);

#endif
