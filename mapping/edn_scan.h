/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_SCAN_H
#define OUROFS_EDN_SCAN_H

#include "edn_reader.h"

/*
 * The scanner: a loop over the text with a stack of what is open. Internal to edn_scan*.c.
 *
 * Keys of maps and elements of sets are held on the reader's stack until their collection closes. Plain
 * words and strings stay text; any other key is read by the reader, together with all that is in it, so
 * every byte is looked at once. The reader's depth is the scanner's. Where there are many (not of the scanned map itself),
 * little is kept of each: edn_many.h.
 */
enum edn_frame_kind { /* beside EDN_LIST, EDN_VECTOR, EDN_MAP, EDN_SET */
	EDN_FRAME_TAG = EDN_TAGGED,
	EDN_FRAME_DISCARD, /* waits for what #_ drops */
	EDN_FRAME_META,    /* waits for the metadata */
	EDN_FRAME_TARGET,  /* waits for what has the metadata */
};

struct edn_frame {
	uint8_t kind;
	bool plain_prefix; /* prefix/name is readable wherever name is */
	uint32_t open;     /* offset of the bracket */
	uint32_t start;    /* offset where the form begins: a bracket, or the # or ^ before it */
	uint32_t forms;
	size_t keys;           /* where this one's keys begin on the stack */
	struct edn_many *many; /* or where they are, if they are that */
	struct slice prefix;
};

struct edn_scanner {
	struct edn_reader reader;
	const char *at;
	struct edn_frame *frames; /* the first is the map that is scanned */
	size_t count;
	size_t cap;
	unsigned level;    /* how deep in the value of the current entry */
	unsigned hidden;   /* open discards and metadata: what is in them is no part of a value */
	struct arena kept; /* keys of the scanned map */
	struct arena scratch; /* of the current entry */
	struct arena passing; /* of a value that is read and let go at once */
	struct edn_map_entry entry;
	edn_entry_fn *fn;
	void *context;
	size_t entries;
	bool lenient;          /* what edn_map_shape says */
	struct edn_join *join; /* of a first part, until it comes by there */
	bool is_tail;
};

void edn_scan_release(struct edn_scanner *s);

/* ---- edn_scan_key.c ---- */

/* A form in the place of a key or element: onto the stack. *type and *start: of the form. */
int edn_scan_key(struct edn_scanner *s, struct edn_frame *frame, uint8_t *type, uint32_t *start);
/* Of a collection that ends: are all its keys different? 0, or an error that says where one is not. */
int edn_scan_check_unique(struct edn_scanner *s, struct edn_frame *frame);

/* ---- edn_scan_form.c ---- */

/* Opens the map that `at` is at, by its brace or #:. */
int edn_scan_open_map(struct edn_scanner *s);
/* Scans until the first map closes. */
int edn_scan_rest(struct edn_scanner *s);
/* Between two entries of a map that is open: stops at the brace that closes it. Never 0. */
enum { EDN_SCAN_TAIL_ENDS = 1 };
int edn_scan_tail(struct edn_scanner *s);

/* ---- edn_tail.c ---- */

/* An entry is complete, and another thread may have scanned the rest: then `at` is behind that. 0 or -ENOMEM. */
int edn_scan_join(struct edn_scanner *s);

static inline uint32_t edn_scan_offset(const struct edn_scanner *s, const char *at)
{
	return (uint32_t)(at - s->reader.src.start);
}

static inline void edn_scan_note_depth(struct edn_scanner *s, unsigned below)
{
	if (!s->hidden && s->level + below > s->entry.value_depth)
		s->entry.value_depth = s->level + below;
}

static inline void edn_scan_note_lenient(struct edn_scanner *s, bool lenient)
{
	s->entry.lenient |= lenient;
	s->lenient |= lenient;
}

/* What the reader met in the form that it read. */
static inline void edn_scan_note_reader(struct edn_scanner *s)
{
	edn_scan_note_lenient(s, s->reader.lenient);
	s->entry.tagged |= s->reader.tagged;
	s->reader.lenient = false;
	s->reader.tagged = false;
}

#endif
