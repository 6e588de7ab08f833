/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_NODE_H
#define OUROFS_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"
#include "slab.h"

/*
 * The inode table: what the kernel knows by nodeid.
 *
 * A nodeid is a node's address. A node of a document stands for one version of it; the table finds
 * by (parent, name) only the node that everyone may have: a directory, a scratch file, a control
 * file, or the current version of a document. Nodes of writers and of superseded versions are not
 * found by name; they live until the kernel forgets them and the last handle is closed.
 *
 * Everything here is guarded by fs->lock. A node is freed when the kernel's lookups and our own
 * references (handles, children, documents) are both gone, whichever goes last: FORGET may
 * overtake RELEASE.
 */
enum node_kind {
	NODE_DIRECTORY, /* of the memory, of scratch, or of both */
	NODE_DOCUMENT,
	NODE_SCRATCH, /* a real file below STORE */
	NODE_CONTROL, /* .mode, .health ... */
	NODE_STORE,   /* a file below .store */
};

enum node_state {
	NODE_CURRENT, /* documents: the committed version (for all other kinds always) */
	NODE_WRITER,  /* a writer's own: handles with a draft, invisible to everyone else */
	NODE_OLD,     /* superseded or unlinked; held by open handles or the kernel's cache */
};

struct event_stream;
struct version;
struct draft;
struct document;

/* There are as many as the kernel knows names: each of its bytes is a megabyte of a million. */
struct node {
	uint64_t ino;
	uint64_t version;    /* documents: memory_stat.version; 0 for an empty draft */
	struct node *parent; /* referenced; NULL for the root and for what was removed */
	struct node *next;   /* in the bucket */
	/* documents: the bytes, kept for open handles; control files: what is seen; referenced */
	struct version *pinned;
	struct draft *draft; /* NODE_WRITER with open handles; referenced */
	union {
		struct document *document;   /* documents with open handles, which reference it */
		struct event_stream *stream; /* control files: what is seen of one that grows */
	};
	uint32_t lookups;      /* the kernel's; with as many as fit it stays for good */
	uint32_t refs;         /* our own */
	uint32_t handles : 31; /* open ones, and readers expected back; a part of refs */
	uint32_t hidden : 1;   /* a document's version that can't be read, as memory_stat has it */
	/*
	 * Read without the lock: node_kind and node_control. The kind changes once at most, where a scratch file that nobody
	 * has open becomes the document as which it is saved.
	 */
	_Atomic uint8_t what;
	uint8_t name_len;
	uint8_t name_room; /* in place; a longer one, of a rename, is elsewhere, and a pointer to it here */
	uint8_t state : 2; /* enum node_state */
	bool hashed : 1;   /* found by name */
	bool taken : 1;    /* a writer's node that the kernel's cache may still give to others */
	bool removed : 1; /* unlinked, replaced, rmdir'ed: only who is in it or has it open comes here */
	bool counted : 1; /* NODE_SCRATCH without a name: its bytes count until it is closed */
	/* documents: the kernel was told name and attributes, for long, and has lost neither that we know of */
	bool told : 1;
	bool cold : 1; /* its page cache may hold another version's pages: no keep_cache once */
	char name[];
};
_Static_assert(sizeof(struct node) <= 72, "no padding");

struct node_table {
	struct node *
		*buckets; /* all nodes: by name, those that are not found by it by their address */
	size_t bucket_count; /* a power of two */
	size_t count;
	struct slab_pool pool;
	/*
	 * Paths of directories that were freed, each with a NUL behind, for who tells the memory of them. (Where there was no
	 * memory for it, some are missing.)
	 */
	struct buf forgotten;
	struct node *root;
};

int node_table_init(struct node_table *table, uint64_t root_ino);
void node_table_release(struct node_table *table);

/* A new node with one reference of the caller's, not hashed. NULL: out of memory, or a name of more than 255 bytes. */
struct node *node_new(struct node_table *table, struct node *parent, struct slice name,
	enum node_kind kind);
/* The same, but found by its name, which no other is. */
struct node *node_new_hashed(struct node_table *table, struct node *parent, struct slice name,
	enum node_kind kind);
struct node *node_find(const struct node_table *table, const struct node *parent,
	struct slice name);
/* The same by its path from the root. */
struct node *node_find_path(const struct node_table *table, struct slice path);
/* Makes it the one that is found by its name; another of that name stops being found. */
void node_hash(struct node_table *table, struct node *node);
void node_unhash(struct node_table *table, struct node *node);
/* Gives it another place; hashed stays hashed. -ENOMEM changes nothing. */
int node_move(struct node_table *table, struct node *node, struct node *parent, struct slice name);

void node_ref(struct node *node);
void node_unref(struct node_table *table, struct node *node);
/* A handle: while there is one, a superseded version's bytes are kept. */
void node_hold(struct node *node);
void node_release(struct node_table *table, struct node *node);
static inline void node_look_up(struct node *node)
{
	node->lookups += node->lookups < UINT32_MAX;
}
void node_forget(struct node_table *table, struct node *node, uint64_t lookups);

/* The path from the root, without a slash in front; name (may be empty) is a child's. */
int node_path(const struct node *node, struct slice name, struct buf *path);
static inline struct slice node_name(const struct node *node)
{
	const char *name = node->name;

	if (node->name_len > node->name_room)
		memcpy(&name, node->name, sizeof(name));
	return slice_of(name, node->name_len);
}
static inline enum node_kind node_kind(const struct node *node)
{
	return node->what & 7;
}
/* NODE_CONTROL: its index in the table. */
static inline unsigned node_control(const struct node *node)
{
	return node->what >> 3;
}
static inline void node_set_kind(struct node *node, enum node_kind kind, unsigned control)
{
	node->what = (uint8_t)(control << 3 | kind);
}
static inline struct document *node_document(const struct node *node)
{
	return node_kind(node) == NODE_DOCUMENT ? node->document : NULL;
}

#endif
