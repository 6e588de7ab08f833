/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CHANGE_H
#define OUROFS_CHANGE_H

#include "saved.h"

/*
 * Changes of the memory, as the journal's records hold them.
 *
 * Each states a resulting value, never an operation on the current state: applied to a memory that
 * holds it already, it changes nothing. `from` and CHANGE_MOVE only say where in memory.edn the value
 * stood, so that it keeps its place; the values follow in the same record.
 */
enum change_kind {
	CHANGE_PUT = 1,    /* id has this text, and saved */
	CHANGE_ATTRIBUTES, /* id has this mode, mtime, ino; its value and bytes are untouched */
	CHANGE_DELETE,     /* the document id is gone */
	CHANGE_MOVE,       /* what stands at the key from.key (a map) goes on standing at id.key */
	CHANGE_COLLECTION, /* the key id.key holds a map, if only an empty one */
	CHANGE_UNKEY,      /* the key id.key, a map without members, is gone */
	CHANGE_DIRECTORY,  /* the directory whose path is id.key has this mode, mtime, ino */
	CHANGE_BASE,       /* the other writer's file has this base of id, whose value stands */
	CHANGE_EPOCH,      /* saved.base.epoch counts from here: all other bases are the values */
	CHANGE_MODE,       /* the mode is the one that id.key names */
};

/* A key of the top level, or with member.ptr a member of the map under that key. Canonical EDN. */
struct entity_id {
	struct slice key;
	struct slice member;
};

struct change {
	enum change_kind kind;
	bool has_mode; /* CHANGE_DIRECTORY; documents always have one */
	struct entity_id id;
	struct entity_id from; /* CHANGE_PUT, CHANGE_MOVE; key.ptr NULL: nowhere */
	struct slice text;     /* EDN */
	struct saved_record saved;
};

/* The name of a document's record and of a pending change: 'D' or 'M', then the whole id. */
void entity_id_name(struct buf *name, struct entity_id id);
bool entity_id_of_name(struct slice name, struct entity_id *id);
/* As people are told of it, in EDN: a key, or "[:presence/s1 \"alice\"]". */
void entity_id_text(struct buf *text, struct entity_id id);

void change_encode(struct buf *out, const struct change *change);
/* Cuts one change off payload; it borrows payload's bytes. -EBADMSG. */
int change_decode(struct slice *payload, struct change *change);

#endif
