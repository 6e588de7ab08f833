/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ENV_PAGES_PRIVATE_H
#define OUROFS_ENV_PAGES_PRIVATE_H

#include <string.h>

#include "env_pages.h"

/* As LMDB 0.9 lays it out: struct MDB_page, MDB_meta, MDB_db, MDB_node of its mdb.c. */
enum {
	META_MAGIC = (int)0xBEEFC0DE,
	META_VERSION = 1,
	META_BYTES = 136,
	META_MAP = 16,   /* how much LMDB is to map */
	META_TREES = 24, /* two of them, the free pages' first; its first word is the page size */
	META_LAST = 120,
	META_TXN = 128,
	TREE_BYTES = 48,
	TREE_FLAGS = 4,
	TREE_DEPTH = 6,
	TREE_ENTRIES = 32,
	TREE_ROOT = 40,
	HEAD_BYTES = 16, /* of a page */
	HEAD_FLAGS = 10,
	HEAD_LOWER = 12,
	HEAD_UPPER = 14,
	NODE_BYTES = 8,
	PAGE_MIN = 512,
	PAGE_MAX = 32768,
	DEPTH_MAX = 32,
	KEY_MAX = 511,
	PAGE_BRANCH = 1,
	PAGE_LEAF = 2,
	PAGE_OVERFLOW = 4,
	PAGE_META = 8,
	NODE_BIG = 1, /* the value stands on pages of its own */
	NODE_TREE = 2,
	TREE_INTEGERS = 8, /* keys are numbers of the machine's */
};

static inline uint64_t env_get(const char *at, size_t bytes)
{
	uint64_t n = 0;

	memcpy(&n, at, bytes); /* little endian, as x86-64 and arm64 are, and LMDB's file of them */
	return n;
}

/* ---- env_pages.c: pages ---- */

void env_page_fault(struct env_pages *pages, uint64_t page, const char *what);
/* 0; -ENODATA: the file ends before. */
int env_page_read(const struct env_pages *pages, void *to, size_t len, uint64_t offset);
/* False: it was walked before. */
bool env_page_mark(struct env_pages *pages, uint64_t page);
/* A page that is linked to: in the file, of the wanted kind, and linked to once. 1, 0 (a fault), negative. */
int env_page_take(struct env_pages *pages, uint64_t page, unsigned kinds, char *to);

/* ---- env_pages_walk.c: one tree, from leaf to leaf ---- */

/* values: those that stand on pages of their own are read, too. */
int env_tree_walk(struct env_pages *pages, const struct env_tree *tree, bool values, env_row_fn *fn,
	void *context);

#endif
