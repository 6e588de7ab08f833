/* SPDX-License-Identifier: MIT */
#include "edn_compare.h"
#include "edn_hash.h"

#include <stdlib.h>

struct comparison {
	bool exact;
	struct edn_hashes hashes; /* of what is in sets and keys */
};

static bool same(struct comparison *c, const struct edn *a, const struct edn *b);

static bool is_sequence(const struct edn *v)
{
	return v->type == EDN_LIST || v->type == EDN_VECTOR;
}

static bool same_in_order(struct comparison *c, const struct edn *a, const struct edn *b)
{
	size_t count = edn_item_count(a);
	size_t i;

	for (i = 0; i < count; i++)
		if (!same(c, &a->items[i], &b->items[i]))
			return false;
	return true;
}

/* The item of b (a set, or a map's key) that is the same as key, or NULL. */
static const struct edn *find_slowly(struct comparison *c, const struct edn *b,
	const struct edn *key)
{
	size_t stride = b->type == EDN_MAP ? 2 : 1;
	size_t i;

	for (i = 0; i < b->count; i++)
		if (same(c, &b->items[i * stride], key))
			return &b->items[i * stride];
	return NULL;
}

struct lookup {
	const struct edn *b;
	uint64_t *hashes; /* of b's keys */
	uint32_t *slots;
	size_t mask;
};

/* False: no memory. */
static bool lookup_init(struct comparison *c, struct lookup *lookup, const struct edn *b)
{
	size_t stride = b->type == EDN_MAP ? 2 : 1;
	size_t cap = 4;
	uint32_t i;

	while (cap < (size_t)b->count * 2)
		cap *= 2;
	lookup->b = b;
	lookup->mask = cap - 1;
	lookup->hashes = malloc(b->count * sizeof(*lookup->hashes));
	lookup->slots = calloc(cap, sizeof(*lookup->slots));
	if (!lookup->hashes || !lookup->slots) {
		free(lookup->hashes);
		free(lookup->slots);
		return false;
	}
	for (i = 0; i < b->count; i++) {
		size_t slot;

		lookup->hashes[i] = edn_hashes_of(&c->hashes, &b->items[i * stride]);
		slot = lookup->hashes[i] & lookup->mask;
		while (lookup->slots[slot])
			slot = (slot + 1) & lookup->mask;
		lookup->slots[slot] = i + 1;
	}
	return true;
}

static const struct edn *find(struct comparison *c, const struct lookup *lookup,
	const struct edn *key)
{
	size_t stride = lookup->b->type == EDN_MAP ? 2 : 1;
	uint64_t hash = edn_hashes_of(&c->hashes, key);
	size_t slot = hash & lookup->mask;

	for (; lookup->slots[slot]; slot = (slot + 1) & lookup->mask) {
		uint32_t i = lookup->slots[slot] - 1;
		const struct edn *item = &lookup->b->items[i * stride];

		if (lookup->hashes[i] == hash && same(c, item, key))
			return item;
	}
	return NULL;
}

/* Maps and sets. Every pair of items is compared at most once, or nesting would cost 2^depth. */
static bool same_in_any_order(struct comparison *c, const struct edn *a, const struct edn *b)
{
	size_t stride = a->type == EDN_MAP ? 2 : 1;
	struct lookup lookup;
	bool table = a->count > 1 && lookup_init(c, &lookup, b);
	bool equal = true;
	uint32_t i;

	for (i = 0; i < a->count && equal; i++) {
		const struct edn *key = &a->items[i * stride];
		const struct edn *found = table ? find(c, &lookup, key) : find_slowly(c, b, key);

		equal = found && (stride == 1 || same(c, &key[1], &found[1]));
	}
	if (table) {
		free(lookup.hashes);
		free(lookup.slots);
	}
	return equal;
}

static bool same(struct comparison *c, const struct edn *a, const struct edn *b)
{
	bool both_sequences = !c->exact && is_sequence(a) && is_sequence(b);

	if (a->type < EDN_LIST)
		return edn_leaf_equal(a, b, c->exact);
	if ((a->type != b->type && !both_sequences) || edn_item_count(a) != edn_item_count(b))
		return false;
	if (a->type == EDN_MAP || a->type == EDN_SET)
		return same_in_any_order(c, a, b);
	return same_in_order(c, a, b);
}

static bool compare(const struct edn *a, const struct edn *b, bool exact)
{
	struct comparison c = {.exact = exact};
	bool equal = same(&c, a, b);

	edn_hashes_release(&c.hashes);
	return equal;
}

bool edn_equal(const struct edn *a, const struct edn *b)
{
	return compare(a, b, false);
}

bool edn_identical(const struct edn *a, const struct edn *b)
{
	return compare(a, b, true);
}

const struct edn *edn_map_get(const struct edn *map, const struct edn *key)
{
	for (uint32_t i = 0; i < map->count; i++)
		if (edn_equal(&map->items[2 * (size_t)i], key))
			return &map->items[2 * (size_t)i + 1];
	return NULL;
}
