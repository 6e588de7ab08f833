/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ENV_PAGES_H
#define OUROFS_ENV_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/*
 * The pages of an LMDB file (data version 1, as LMDB 0.9 writes it), read without LMDB: that trusts what it
 * maps, and dies of a damaged file, or walks in circles. Nothing here trusts a byte, every page is looked at
 * once at most, and a damaged one costs what is below it, no more.
 *
 *	env_pages_open(&pages, fd, fault, context, &err);	// fd: of data.mdb
 *	env_pages_verify(&pages, &err);				// every page that is in use
 *	env_pages_each(&pages, "documents", row, context, &err);	// rows in the order of their keys
 *	env_pages_release(&pages);
 *
 * What is wrong goes to fault, "page 12" and what it is; pages.faults counts. Nothing may write to the file
 * meanwhile.
 */
typedef void env_fault_fn(void *context, const char *where, const char *what);
/* key and value last as long as the call. A non-zero return stops, and is returned. */
typedef int env_row_fn(void *context, struct slice key, struct slice value);

struct env_tree {
	uint64_t root; /* UINT64_MAX: it is empty */
	uint64_t entries;
	unsigned flags, depth;
};

struct env_pages {
	int fd;
	uint32_t page_bytes;
	uint64_t last_page; /* in use, or free, by the header */
	uint64_t map_bytes;
	struct env_tree free, main;
	unsigned char *seen; /* a bit a page, of what was walked */
	env_fault_fn *fault; /* NULL: nobody wants to know */
	void *context;
	size_t faults;
	bool older;        /* a header is damaged: this may be the state before the last commit */
	bool lists_tables; /* all of them, behind env_pages_verify: their list is sound */
};

/*
 * 0, also where a header is damaged and the other one serves, which has the state before the last transaction.
 * -EINVAL: it is no LMDB file, or both headers are damaged; -EIO and the like.
 */
int env_pages_open(struct env_pages *pages, int fd, env_fault_fn *fault, void *context,
	struct err *err);
void env_pages_release(struct env_pages *pages);
/* It was being made and never was: LMDB begins with two headers that name nothing, of which one is all there is. */
bool env_pages_unborn(int fd);
/* 0, whatever it found: faults says. */
int env_pages_verify(struct env_pages *pages, struct err *err);
/* Behind env_pages_verify. */
int env_pages_has(struct env_pages *pages, const char *table, bool *has, struct err *err);
/* Of a table that is not there: no row. What is damaged is passed over, and told. */
int env_pages_each(struct env_pages *pages, const char *table, env_row_fn *fn, void *context,
	struct err *err);

#endif
