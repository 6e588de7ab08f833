/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_MANY_H
#define OUROFS_EDN_MANY_H

#include "edn_hash.h"

/*
 * The keys of a large map, or the elements of a large set: of each its hash and where it stands are kept, 12 bytes, and
 * two of one hash are read again and compared. Internal to the edn_*.c files.
 *
 *	struct edn_many *many = edn_many_new(keys, count);	// NULL: out of memory
 *	edn_many_add(many, key);	// any number of times
 *	edn_many_find_duplicate(many, same, context, &second);
 *	edn_many_free(many);
 */
enum { EDN_MANY = 1024 }; /* so many are compared as they are, on the reader's stack */

struct edn_many;

struct edn_many *edn_many_new(const struct edn_key *keys, size_t count);
void edn_many_free(struct edn_many *many);
/* 0 or -ENOMEM. */
int edn_many_add(struct edn_many *many, const struct edn_key *key);
/* Are the two that stand at these offsets equal? 1, 0 or a negative errno. */
typedef int edn_many_same_fn(void *context, uint32_t one, uint32_t other);
/*
 * Where the first stands that equals one before it: 1 and *second; 0, or what same fails with. Puts the keys in another
 * order.
 */
int edn_many_find_duplicate(struct edn_many *many, edn_many_same_fn *same, void *context,
	uint32_t *second);

#endif
