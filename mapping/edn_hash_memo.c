/* SPDX-License-Identifier: MIT */
#include "edn_hash.h"

#include <stdlib.h>

enum { FIRST_CAP = 64, WORTH = 64 }; /* so many values are hashed again rather than remembered */

struct edn_hashed {
	const struct edn *items; /* NULL: a free slot */
	uint64_t hash;
	uint8_t type; /* the items of a vector can have become a set's */
};

static struct edn_hashed *slot_of(const struct edn_hashes *h, const struct edn *items, uint8_t type)
{
	size_t at = (size_t)edn_hash_mix((uint64_t)(uintptr_t)items + type);

	for (;; at++) {
		struct edn_hashed *slot = &h->slots[at & (h->cap - 1)];

		if (!slot->items || (slot->items == items && slot->type == type))
			return slot;
	}
}

static bool grow(struct edn_hashes *h)
{
	struct edn_hashes grown = {.seed = h->seed, .cap = h->cap ? h->cap * 2 : FIRST_CAP};

	grown.slots = calloc(grown.cap, sizeof(*grown.slots));
	if (!grown.slots)
		return false;
	for (size_t i = 0; i < h->cap; i++)
		if (h->slots[i].items)
			*slot_of(&grown, h->slots[i].items, h->slots[i].type) = h->slots[i];
	grown.count = h->count;
	free(h->slots);
	*h = grown;
	return true;
}

/* For lack of memory it is walked again, nothing else. */
static void remember(struct edn_hashes *h, const struct edn *v, uint64_t hash)
{
	if (h->count * 2 >= h->cap && !grow(h))
		return;
	*slot_of(h, v->items, v->type) =
		(struct edn_hashed){.items = v->items, .hash = hash, .type = v->type};
	h->count++;
}

/* *walked: how many values below were looked at, as far as that is not remembered. */
static uint64_t walk(struct edn_hashes *h, const struct edn *v, size_t *walked)
{
	size_t count = edn_item_count(v);
	uint64_t sum = 0;
	size_t below = 1;

	*walked += 1;
	if (v->type < EDN_LIST)
		return edn_hash_leaf(v, h->seed);
	if (h->count && count && slot_of(h, v->items, v->type)->items)
		return slot_of(h, v->items, v->type)->hash;
	for (size_t i = 0; i < count; i++) {
		uint64_t item = walk(h, &v->items[i], &below);

		if (v->type == EDN_MAP)
			item = edn_hash_entry(item, walk(h, &v->items[++i], &below));
		sum = edn_hash_add(v->type, sum, item);
	}
	sum = edn_hash_end(v->type, sum, h->seed);
	if (below >= WORTH)
		remember(h, v, sum);
	else
		*walked += below - 1;
	return sum;
}

uint64_t edn_hashes_of(struct edn_hashes *h, const struct edn *v)
{
	size_t walked = 0;

	if (!h->seed)
		h->seed = edn_hash_seed(h) | 1;
	return walk(h, v, &walked);
}

void edn_hashes_release(struct edn_hashes *h)
{
	free(h->slots);
	*h = (struct edn_hashes){0};
}
