/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDNFILE_MAP_H
#define OUROFS_EDNFILE_MAP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "edn.h"

/*
 * One EDN map as the pieces of its text: the inside of ednfile (which has the locking rules), used
 * for the whole file and again, one level down, for collections.
 *
 *	head        '{' or '#:ns{' and what stands before it
 *	entry       gap (blanks, comments, discards, ^meta), key, mid (the same between key and value), value
 *	...
 *	last gap    the sentinel's, entries[0]
 *	foot        '}' and what stands behind it
 *
 * Every piece is a pointer into the text that was read or, once changed, into a block of its own.
 * Entries are a ring in the file's order around the sentinel; their numbers stay while they live.
 */

/* A text that something owns. Bytes that a snapshot may still point to wait for its end. */
struct ednblock {
	struct ednblock *next;
	size_t size;
	size_t mapped_bytes; /* of a large one, from the page on that the block begins in; 0: malloc'ed */
	enum {
		EDNBLOCK_HERE,
		EDNBLOCK_STAYS,
		EDNBLOCK_AWAY
	} place; /* STAYS: there was no room for it */
	int fd;  /* of one that is away: the file that is mapped */
	_Alignas(8) char bytes[];
};

enum { EDNPOOL_UNREAD = 16 };

enum { EDNBLOCK_BIG_BYTES = 16 << 20 };

/* What all maps of one file share. */
struct ednpool {
	size_t owned_bytes;    /* of the living blocks, their headers included */
	struct ednblock *dead; /* dropped while held */
	bool held;             /* a snapshot is out */
	uint64_t seed;
	unsigned max_depth;
	/*
	 * The edn_hash of unread keys, which takes long, by that of their texts: slots of any thread's, as hash ^ text's, hash,
	 * so that one that is half another's says nothing.
	 */
	_Atomic uint64_t (*unread)[2];
	_Atomic uint64_t unread_slots[EDNPOOL_UNREAD][2];
};

struct ednblock *ednblock_new(struct ednpool *pool, size_t size);
struct ednblock *ednblock_copy(struct ednpool *pool, struct slice text);
void ednblock_drop(struct ednpool *pool, struct ednblock *block);
/* Gives back what a new block has too much. */
static inline void ednblock_trim(struct ednpool *pool, struct ednblock *block, size_t size)
{
	pool->owned_bytes -= block->size - size;
	block->size = size;
}
/* The block of a text that begins one. */
static inline struct ednblock *ednblock_of(const char *bytes)
{
	return (struct ednblock *)(bytes - offsetof(struct ednblock, bytes));
}
/*
 * The bytes of a big block (else nothing is done) go to a file without a name in dir_fd's filesystem, which is
 * mapped in their place: they take memory no longer than there is enough of it. Any thread may read them meanwhile.
 */
void ednblock_put_away(struct ednblock *block, int dir_fd);
/* As pread_all(), of bytes at from in one that is away: each 64 KB through its mapping would cost a page fault. */
ssize_t ednblock_read(const struct ednblock *block, const char *from, char *to, size_t len);
static inline bool ednblock_is_away(const struct ednblock *block, struct slice text)
{
	return block && block->place == EDNBLOCK_AWAY && text.ptr >= block->bytes &&
	       text.ptr + text.len <= block->bytes + block->size;
}
/* What was read of it since takes memory again: gives that back, as mapped_unmap_step. */
bool ednblock_unmap_step(struct ednblock *block, size_t *at);
static inline bool ednblock_is_to_go(const struct ednblock *block)
{
	return block && block->mapped_bytes >= EDNBLOCK_BIG_BYTES && block->place == EDNBLOCK_HERE;
}
/* Ends the hold: frees what was dropped meanwhile. */
void ednpool_unhold(struct ednpool *pool);

enum { EDN_OWNS_GAP = 1, EDN_OWNS_KEY = 2, EDN_OWNS_VALUE = 4 };

/* How a key's canonical text is told from the text that stands in the map. */
enum ednkey_kind {
	EDNKEY_PLAIN,   /* a keyword or string: it is that text */
	EDNKEY_SPELLED, /* a keyword or string that is written in another way */
	EDNKEY_VALUE,   /* anything else: by reading it; Clojure's = may take two for the same */
};

struct ednentry {
	const char *gap;
	const char *key;   /* NULL: the entry is free */
	const char *value; /* stale while child->edited */
	struct ednmap *child;
	uint64_t slot;
	uint32_t prev;
	uint32_t next;
	uint32_t hash;
	uint32_t gap_len;
	uint32_t key_len;
	uint32_t mid_len; /* stands right behind the key */
	uint32_t value_len;
	uint8_t type;     /* of the value, enum edn_type */
	uint8_t key_kind; /* enum ednkey_kind */
	uint8_t owns;
	bool unreadable; /* as in struct ednfile_item */
};

struct ednmap {
	struct ednpool *pool;
	struct ednblock
		*image; /* the text that the pieces point into, or NULL: it is the parent's */
	struct slice head;
	struct slice foot;
	struct slice prefix;
	bool edited;           /* the pieces are no longer the text that was read */
	struct ednblock *flat; /* that text as one, made when asked for; dropped by the next edit */
	struct ednentry *entries;
	uint32_t used;
	uint32_t cap;
	uint32_t free; /* a chain through next */
	uint32_t count;
	uint32_t unreadable; /* entries */
	uint32_t *index;     /* numbers of entries, 0: empty */
	uint32_t index_cap;
	unsigned depth; /* how deep the map stands */
};

/* Reads text, which must outlive the map (image: the map takes it over on success): ednfile_read.c. */
int ednmap_read(struct ednmap *map, struct ednpool *pool, struct slice text, unsigned depth,
	struct err *err);
/* Is a text of so many bytes read by two threads? Where there are two processors. */
bool ednmap_in_halves(size_t bytes);
void ednmap_release(struct ednmap *map);
void ednmap_free(struct ednmap *map);

static inline struct slice ednentry_key(const struct ednentry *e)
{
	return slice_of(e->key, e->key_len);
}
static inline struct slice ednentry_mid(const struct ednentry *e)
{
	return slice_of(e->key + e->key_len, e->mid_len);
}
static inline struct slice ednentry_key_and_mid(const struct ednentry *e)
{
	return slice_of(e->key, (size_t)e->key_len + e->mid_len);
}
static inline struct slice ednentry_gap(const struct ednentry *e)
{
	return slice_of(e->gap, e->gap_len);
}

/* ---- keys: ednfile_key.c ---- */

struct ednkey {
	struct slice text; /* canonical */
	uint32_t hash;
	uint8_t kind;
	struct edn value; /* EDNKEY_VALUE */
	bool unread;      /* EDNKEY_VALUE, but edn_key_is_text: there is no value */
	struct buf buf;
	struct arena arena;
};

/* From canonical text, which is borrowed. -EBADMSG, -ENOMEM. */
int ednkey_init(struct ednkey *key, const struct ednpool *pool, struct slice canonical);
/* From the text that stands in a map with this prefix. */
int ednkey_read(struct ednkey *key, const struct ednpool *pool, struct slice prefix,
	struct slice written);
void ednkey_release(struct ednkey *key);
/* The full text of a key in a map with a prefix, as a map without one needs it. Appends. */
int ednkey_expand(const struct ednpool *pool, struct slice prefix, struct slice written,
	struct buf *out);
/*
 * How the key is to be written in the map. *open_up: the map's prefix can't hold it and has to be
 * opened up first. Appends.
 */
int ednkey_spell(const struct ednmap *map, const struct ednkey *key, struct buf *out,
	bool *open_up);

/* Looks the key up: 0, -ENOENT, -ENOMEM. */
int ednmap_find(const struct ednmap *map, const struct ednkey *key, uint32_t *at);
/* -EEXIST if an entry other than `but` has a key that is another, but equal for Clojure. */
int ednmap_conflict(const struct ednmap *map, const struct ednkey *key, uint32_t but);

/*
 * Checks that key and value, put into a map at depth, are one entry, readable up to max_depth.
 * -EBADMSG. info gets the value's type and whether anything is unreadable; value its text without
 * blanks around it.
 */
struct ednpair {
	struct slice value;
	uint8_t type;
	bool unreadable;
};
int ednpair_check(const struct ednmap *map, struct slice key, struct slice value,
	struct ednpair *pair, struct err *err);

/* ---- storage: ednfile_map.c ---- */

/* Room for so many entries in all, in a map that has none yet. */
int ednmap_reserve_entries(struct ednmap *map, uint32_t count);
int ednmap_grow_entries(struct ednmap *map);
/* For who fills a map: makes an entry the last one; puts all of them into the index. */
void ednmap_link_last(struct ednmap *map, uint32_t at);
int ednmap_index_all(struct ednmap *map);
/* A number for one more entry, and room for it in the index; it counts only when added. */
int ednmap_reserve(struct ednmap *map, uint32_t *at);
void ednmap_add(struct ednmap *map, uint32_t at, const struct ednentry *entry);
void ednmap_index_add(struct ednmap *map, uint32_t at);
void ednmap_index_remove(struct ednmap *map, uint32_t at);
/* Frees the number of an entry that is out of the index, and unlinks it. */
void ednmap_recycle(struct ednmap *map, uint32_t at);
void ednentry_drop(struct ednmap *map, struct ednentry *entry);
/* Drops what the entry owns as value, its child too. */
void ednentry_drop_value(struct ednmap *map, struct ednentry *entry);
static inline void ednmap_set_unreadable(struct ednmap *map, uint32_t at, bool unreadable)
{
	map->unreadable += (uint32_t)unreadable - map->entries[at].unreadable;
	map->entries[at].unreadable = unreadable;
}
void ednentry_set_gap(struct ednmap *map, struct ednentry *entry, struct ednblock *block);

/* ---- gaps: ednfile_gap.c ---- */

/* What stays between the neighbours of an entry that goes, out of the gaps before and behind it. */
struct edngap_around {
	struct slice before;
	struct slice after;
	bool first; /* the entry is the map's first */
	bool last;
};
int edngap_merge(const struct ednpool *pool, const struct edngap_around *around, struct buf *out);
/* The gap of an entry that is appended, in the style of the others, and what is left as last gap. */
int edngap_append(const struct ednmap *map, struct buf *gap, struct buf *last);
/* A gap without the metadata in it. */
int edngap_strip_meta(const struct ednpool *pool, struct slice gap, struct buf *out);

/* ---- text out of pieces: ednfile_pieces.c ---- */

enum ednpiece { EDNPIECE_OPEN, EDNPIECE_GAP, EDNPIECE_FORM };

static inline enum ednpiece ednentry_key_piece(const struct ednentry *e)
{
	return e->mid_len ? EDNPIECE_GAP : EDNPIECE_FORM;
}

/*
 * Pieces put side by side that did not stand so before must not grow into one token: "1" and ":b",
 * "#_x" and "y". Neighbours in memory are neighbours in the text that was read.
 */
bool ednpieces_need_space(enum ednpiece last, struct slice before, struct slice next);

struct iovec;
struct ednpieces {
	struct iovec *iov;
	size_t count;
	size_t cap;
	uint64_t bytes;
	enum ednpiece last;
	bool failed;
};

/* The pieces of the map's text as it would be written now. -ENOMEM. */
int ednpieces_of_map(struct ednpieces *pieces, const struct ednmap *map);
/* The same; places, as many as there are entries, says where each comes to stand, in the map's order. */
struct ednplace {
	uint32_t key, value, end; /* offsets: where key and value begin, and behind the value */
};
int ednpieces_with_places(struct ednpieces *pieces, const struct ednmap *map,
	struct ednplace *places);
void ednpieces_release(struct ednpieces *pieces);
/* All pieces as one text. */
struct ednblock *ednmap_flatten(const struct ednmap *map);
/* Puts all text down anew, in one image that the map owns; open_up: keys in full, no prefix. */
int ednmap_rebuild(struct ednmap *map, bool open_up);

/* ---- changes: ednfile_edit.c ---- */

/* Value blocks are taken over on success. A changed map is marked edited. */
int ednmap_append(struct ednmap *map, const struct ednkey *key, struct ednblock *value,
	const struct ednpair *pair);
void ednmap_set_value(struct ednmap *map, uint32_t at, struct ednblock *value,
	const struct ednpair *pair);
/*
 * To be called before another value is set or swapped in: metadata that stands before a value is the
 * value's, and what takes its place may not be able to carry any.
 */
int ednmap_strip_value(struct ednmap *map, uint32_t at);
int ednmap_rekey(struct ednmap *map, uint32_t at, const struct ednkey *key);
void ednmap_remove(struct ednmap *map, uint32_t at);
/* The child pieces of a value that is a map, made when first asked for. NULL: no memory. */
struct ednmap *ednmap_child(const struct ednmap *map, uint32_t at);
/* The value's text; that of an edited child is put together. Callers hold the file's mutex. */
int ednmap_value(const struct ednmap *map, uint32_t at, struct slice *text);

#endif
