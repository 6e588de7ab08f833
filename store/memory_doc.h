/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_DOC_H
#define OUROFS_MEMORY_DOC_H

#include "memory_state.h"

/* One document as it stands. All under memory.lock. */

/*
 * A read of both stores around many documents, each of which then costs less, under one hold of memory.lock: what the EAV
 * store has yet to get is pending as long.
 */
struct reading {
	bool serves; /* the EAV store does, since before it began */
	struct eav_reader eav;
	struct saved_reader saved;
};

struct doc {
	struct reading *within; /* or NULL: it has reads of its own, reader and eav_reader */
	struct tree_node *node;
	struct entity_id id;
	struct path_place place; /* owns id's text unless the tree does */
	struct buf name;         /* entity_id_name */
	struct ednfile_item item;
	struct saved_reader reader; /* keeps record.bytes */
	struct eav_reader eav_reader;
	bool from_eav;
	struct saved_record record; /* with defaults where nothing is saved */
	bool has_record;            /* something is saved or pending for this very value */
};
#define DOC_INIT ((struct doc){0})

/* eav: the EAV store is read, too: first, as it may have to be read behind saved. Ended also where it could not begin. */
int reading_begin(struct memory *m, struct reading *reading, bool eav);
void reading_end(struct reading *reading);

/* doc_find: -ENOENT, -EISDIR. doc_load fills item and record. */
int doc_id(struct memory *m, struct tree_node *node, struct doc *doc);
int doc_find(struct memory *m, struct slice path, struct doc *doc);
int doc_load(struct memory *m, struct doc *doc);
/* The same, but never from the EAV store. */
int doc_load_edn(struct memory *m, struct doc *doc);
/*
 * The same for who shows the document: item is left alone where the bytes are known without it. So members that the EAV
 * store serves need no table in the file.
 */
int doc_load_shown(struct memory *m, struct doc *doc);
bool doc_eav_serves(struct memory *m);
/*
 * The same of the member at path of a collection whose names are away (tree.h), as far as the EAV store alone serves it:
 * for one of a million, a million names need not come into memory. It has no node. -ENOENT: it may be there all the same.
 */
int doc_load_away(struct memory *m, struct slice path, struct doc *doc);
void doc_release(struct doc *doc);
/* What memory_read returns, appended. */
int doc_bytes(struct memory *m, struct doc *doc, struct buf *out, struct err *err);
/* Of what is not shown: is this the first time since it stands there that someone is told why? */
bool doc_is_told_first(struct doc *doc);
/* Sets size, and hidden. */
int doc_size(struct memory *m, struct doc *doc, struct memory_stat *st);
/* Sees to it that record.identity is the value's. */
int doc_identity(const struct memory *m, struct doc *doc);
void doc_stat(const struct doc *doc, struct memory_stat *st);

/* Does the record speak of the value that is this text? 1, 0, -ENOMEM. */
int memory_is_of_text(const struct memory *m, const struct saved_record *record, struct slice text);

uint64_t memory_default_ino(struct memory *m, struct slice name);
uint64_t memory_directory_ino(struct memory *m, const struct tree_node *node);
mode_t memory_directory_mode(const struct memory *m, const struct tree_node *node);
int memory_id_path(const struct memory *m, struct entity_id id, bool directory, struct buf *path);
/* The keyword's text of a canonical key, empty for keys of other types. */
struct slice memory_keyword(struct slice key);

#endif
