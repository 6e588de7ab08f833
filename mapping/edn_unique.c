/* SPDX-License-Identifier: MIT */
#include "edn_hash.h"

#include <errno.h>
#include <string.h>

#include "huge.h"

enum { PAIRWISE = 10 }; /* up to so many keys, comparing all pairs of hashes beats a table */

static bool same(const struct edn_key *a, const struct edn_key *b)
{
	return a->hash == b->hash && a->relative == b->relative &&
	       (a->dropped || b->dropped || edn_equal(&a->value, &b->value));
}

static int reserve(struct edn_unique *unique, size_t cap)
{
	uint32_t *grown;

	if (cap <= unique->cap)
		return 0;
	grown = huge_resize(unique->slots, unique->cap * sizeof(*grown), cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	unique->slots = grown;
	unique->cap = cap;
	return 0;
}

static int pairwise(const struct edn_key *keys, size_t count, const struct edn_key **second)
{
	size_t i;
	size_t k;

	for (i = 1; i < count; i++) {
		for (k = 0; k < i; k++) {
			if (same(&keys[i], &keys[k])) {
				*second = &keys[i];
				return 1;
			}
		}
	}
	return 0;
}

int edn_find_duplicate(struct edn_unique *unique, const struct edn_key *keys, size_t count,
	const struct edn_key **second)
{
	size_t cap = 32;
	size_t i;

	if (count <= PAIRWISE)
		return pairwise(keys, count, second);
	while (cap < count * 2)
		cap *= 2;
	if (reserve(unique, cap))
		return -ENOMEM;
	memset(unique->slots, 0, cap * sizeof(*unique->slots));
	for (i = 0; i < count; i++) {
		const struct edn_key *key = &keys[i];
		size_t slot = key->hash & (cap - 1);

		for (; unique->slots[slot]; slot = (slot + 1) & (cap - 1)) {
			if (same(key, &keys[unique->slots[slot] - 1])) {
				*second = key;
				return 1;
			}
		}
		unique->slots[slot] = (uint32_t)i + 1;
	}
	return 0;
}

void edn_unique_release(struct edn_unique *unique)
{
	huge_free(unique->slots, unique->cap * sizeof(*unique->slots));
	*unique = (struct edn_unique){0};
}
