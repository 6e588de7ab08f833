/* SPDX-License-Identifier: MIT */
#include "edn_many.h"

#include <errno.h>
#include <stdlib.h>

/* In parts, as an uint64_t would be aligned: there may be millions. */
struct edn_brief {
	uint32_t high, low; /* of the hash */
	uint32_t offset;
};

struct edn_many {
	struct edn_brief *keys;
	size_t count;
	size_t cap;
};

enum { FEW = 24, DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

struct edn_many *edn_many_new(const struct edn_key *keys, size_t count)
{
	struct edn_many *many = calloc(1, sizeof(*many));

	for (size_t i = 0; many && i < count; i++) {
		if (edn_many_add(many, &keys[i])) {
			edn_many_free(many);
			return NULL;
		}
	}
	return many;
}

void edn_many_free(struct edn_many *many)
{
	if (many)
		free(many->keys);
	free(many);
}

int edn_many_add(struct edn_many *many, const struct edn_key *key)
{
	if (many->count == many->cap) {
		size_t cap = many->cap ? many->cap * 2 : EDN_MANY * 2;
		struct edn_brief *grown = reallocarray(many->keys, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		many->keys = grown;
		many->cap = cap;
	}
	many->keys[many->count++] =
		(struct edn_brief){(uint32_t)(key->hash >> 32), (uint32_t)key->hash, key->offset};
	return 0;
}

static uint64_t hash_of(const struct edn_brief *key)
{
	return (uint64_t)key->high << 32 | key->low;
}

/* ---- in the order of their hashes ---- */

static void insert_each(struct edn_brief *keys, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct edn_brief key = keys[i];
		size_t at = i;

		for (; at && hash_of(&keys[at - 1]) > hash_of(&key); at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

static unsigned digit_of(const struct edn_brief *key, unsigned shift)
{
	return (unsigned)(hash_of(key) >> shift) % DIGITS;
}

/* Each to the part of its digit, in place; ends[d] is where part d ends. */
static void part(struct edn_brief *keys, size_t count, unsigned shift, size_t ends[DIGITS])
{
	size_t heads[DIGITS];
	size_t sum = 0;

	memset(ends, 0, DIGITS * sizeof(*ends));
	for (size_t i = 0; i < count; i++)
		ends[digit_of(&keys[i], shift)]++;
	for (unsigned d = 0; d < DIGITS; d++) {
		heads[d] = sum;
		sum = ends[d] += sum;
	}
	for (unsigned d = 0; d < DIGITS; d++) {
		while (heads[d] < ends[d]) {
			struct edn_brief key = keys[heads[d]];
			unsigned to = digit_of(&key, shift);

			keys[heads[d]] = keys[heads[to]];
			keys[heads[to]++] = key;
		}
	}
}

/* Hashes are spread evenly, so that two digits leave next to nothing to do; of one hash there may be any number. */
static void sort(struct edn_brief *keys, size_t count, unsigned bits)
{
	size_t ends[DIGITS];
	size_t from = 0;

	if (count <= FEW) {
		insert_each(keys, count);
		return;
	}
	if (!bits)
		return;
	part(keys, count, bits - DIGIT_BITS, ends);
	for (unsigned d = 0; d < DIGITS; d++) {
		sort(keys + from, ends[d] - from, bits - DIGIT_BITS);
		from = ends[d];
	}
}

/* ---- those of one hash ---- */

static int compare_offsets(const void *a, const void *b)
{
	const struct edn_brief *x = a;
	const struct edn_brief *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Two keys of one hash are equal but for a chance in 2^64, so that the first pair mostly decides. */
static int find_among(struct edn_brief *keys, size_t count, edn_many_same_fn *same, void *context,
	uint32_t *second)
{
	qsort(keys, count, sizeof(*keys), compare_offsets);
	for (size_t i = 1; i < count; i++) {
		for (size_t k = 0; k < i; k++) {
			int ret = same(context, keys[k].offset, keys[i].offset);

			if (ret > 0)
				*second = keys[i].offset;
			if (ret)
				return ret;
		}
	}
	return 0;
}

int edn_many_find_duplicate(struct edn_many *many, edn_many_same_fn *same, void *context,
	uint32_t *second)
{
	struct edn_brief *keys = many->keys;
	uint32_t first = 0;
	int found = 0;
	size_t end;

	sort(keys, many->count, 64);
	for (size_t i = 0; i < many->count; i = end) {
		uint32_t at;
		int ret;

		for (end = i + 1; end < many->count && hash_of(&keys[end]) == hash_of(&keys[i]);)
			end++;
		ret = end == i + 1 ? 0 : find_among(keys + i, end - i, same, context, &at);
		if (ret < 0)
			return ret;
		if (ret && (!found || at < first))
			first = at;
		found |= ret;
	}
	if (found)
		*second = first;
	return found;
}
