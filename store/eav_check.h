/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EAV_CHECK_H
#define OUROFS_EAV_CHECK_H

#include "eav.h"

/*
 * Is the EAV store what eav.h says it is? Every document against its checksums and its datoms, both indexes
 * against each other in both directions, numbers against names. It changes nothing.
 *
 *	check = eav_check_new(fn, context);
 *	do {
 *		eav_read_begin(eav, &reader);
 *		ret = eav_check_some(check, &reader);	// one slice of work: 1, more is to come
 *		eav_read_end(&reader);
 *	} while (ret == 1);
 *	eav_check_free(check);
 *
 * Each slice may have a reader of its own, so that a writer who needs the map to grow is not held up: what
 * is judged together is read together. What a writer changes behind or before a slice is seen either as
 * it was or as it is, never as a problem. One thread.
 */
enum eav_problem_kind {
	EAV_DAMAGED,             /* a row that says nothing, or nothing that can be believed */
	EAV_INDEX_WITHOUT_DATOM, /* an index has what the document, or the other index, does not give */
	EAV_DATOM_WITHOUT_INDEX, /* ... lacks what the document, or the other index, gives */
};

/* All that it points to lasts as long as the call. */
struct eav_problem {
	enum eav_problem_kind kind;
	struct slice name;      /* the entity's; empty: not known */
	uint64_t number;        /* the entity's; 0: not known */
	struct slice attribute; /* of a datom: canonical EDN; else empty */
	const char *what;       /* in words: "the document's checksum is wrong" */
};
/* A negative return stops, and is returned. */
typedef int eav_problem_fn(void *context, const struct eav_problem *problem);

struct eav_check;

struct eav_check *eav_check_new(eav_problem_fn *fn, void *context); /* NULL: no memory */
/* 1: there is more to do; 0: all is done; -ENOMEM, LMDB's errors, or what fn returned. */
int eav_check_some(struct eav_check *check, struct eav_reader *reader);
void eav_check_free(struct eav_check *check);
/* The whole of it, of a store that nobody writes to. */
int eav_check_all(struct eav *eav, eav_problem_fn *fn, void *context);

#endif
