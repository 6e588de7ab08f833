/* SPDX-License-Identifier: MIT */
#include "edn_hash.h"
#include "json_internal.h"

#include <errno.h>
#include <stdlib.h>

/* Up to so many items each is compared with all before it; beyond, there is a table. */
enum { FEW = 12 };

static bool is_text_key(const struct edn *v)
{
	return v->type == EDN_KEYWORD || v->type == EDN_STRING;
}

/* Clojure's =, without a call for the keys that almost all are. */
static bool same(const struct edn *a, const struct edn *b)
{
	if (is_text_key(a) || is_text_key(b))
		return a->type == b->type && slice_equal(edn_text(a), edn_text(b));
	return edn_equal(a, b);
}

static bool find_among_few(const struct edn *items, size_t count, size_t stride, size_t *found)
{
	for (size_t i = 1; i < count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (same(&items[i * stride], &items[j * stride])) {
				*found = i;
				return true;
			}
		}
	}
	return false;
}

/* Open addressing; a slot holds an item's number + 1 and some bits of its hash. */
struct slot {
	uint32_t item;
	uint32_t hash;
};

static int find_by_table(const struct edn *items, size_t count, size_t stride, size_t *found)
{
	unsigned bits = 5;
	struct slot *slots;
	uint64_t seed;
	int ret = 0;

	while ((size_t)1 << bits < count * 2)
		bits++;
	slots = calloc((size_t)1 << bits, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	seed = edn_hash_seed(slots);
	for (size_t i = 0; i < count && !ret; i++) {
		uint64_t hash = edn_hash_value(&items[i * stride], seed);
		size_t at = (size_t)(hash >> (64 - bits));

		for (; slots[at].item; at = (at + 1) & (((size_t)1 << bits) - 1)) {
			if (slots[at].hash == (uint32_t)hash &&
				same(&items[i * stride], &items[(slots[at].item - 1) * stride])) {
				*found = i;
				ret = 1;
				break;
			}
		}
		slots[at] = (struct slot){(uint32_t)i + 1, (uint32_t)hash};
	}
	free(slots);
	return ret;
}

int json_find_duplicate(const struct edn *items, size_t count, size_t stride, size_t *found)
{
	if (count <= FEW)
		return find_among_few(items, count, stride, found);
	return find_by_table(items, count, stride, found);
}
