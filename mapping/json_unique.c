/* SPDX-License-Identifier: MIT */
#include "json_internal.h"

#include <errno.h>
#include <stdlib.h>

/* Up to so many items without any in them each is compared with all before it; else there is a table. */
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

static bool are_leaves(const struct edn *items, size_t count, size_t stride)
{
	for (size_t i = 0; i < count; i++)
		if (items[i * stride].type >= EDN_LIST)
			return false;
	return true;
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

static int find_by_table(struct edn_hashes *hashes, const struct edn *items, size_t count,
	size_t stride, size_t *found)
{
	unsigned bits = 5;
	struct slot *slots;
	int ret = 0;

	while ((size_t)1 << bits < count * 2)
		bits++;
	slots = calloc((size_t)1 << bits, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < count && !ret; i++) {
		uint64_t hash = edn_hashes_of(hashes, &items[i * stride]);
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

int json_find_duplicate(struct edn_hashes *hashes, const struct edn *items, size_t count,
	size_t stride, size_t *found)
{
	if (count < 2)
		return 0;
	if (count <= FEW && are_leaves(items, count, stride))
		return find_among_few(items, count, stride, found);
	return find_by_table(hashes, items, count, stride, found);
}
