/* SPDX-License-Identifier: MIT */
#include "edn_compare.h"

#include <endian.h>

/*
 * The hash of a value that is written to disk: a change here is a change of the format. Maps and sets add up
 * the hashes of their entries and items, so that no order and no memory is needed.
 */
static struct hash128 hash_words(const uint64_t *words, size_t count)
{
	uint64_t le[6];
	size_t i;

	for (i = 0; i < count; i++)
		le[i] = htole64(words[i]);
	return hash128(le, count * sizeof(le[0]));
}

static struct hash128 of_text(const struct edn *v)
{
	struct hash128 text = hash128(v->text, v->count);

	return hash_words((uint64_t[]){v->type, v->count, text.high, text.low}, 4);
}

static struct hash128 of_leaf(const struct edn *v)
{
	uint64_t word = (uint64_t)v->integer;

	switch ((enum edn_type)v->type) {
	case EDN_NIL:
		word = 0;
		break;
	case EDN_BOOL:
	case EDN_INT:
	case EDN_CHAR:
		break;
	case EDN_DOUBLE:
		if (v->real != v->real) /* one NaN, whatever its bits */
			word = UINT64_MAX;
		else
			memcpy(&word, &v->real, sizeof(word));
		break;
	default:
		return of_text(v);
	}
	return hash_words((uint64_t[]){v->type, word}, 2);
}

static struct hash128 of_pair(struct hash128 a, struct hash128 b)
{
	return hash_words((uint64_t[]){a.high, a.low, b.high, b.low}, 4);
}

struct hash128 edn_identity(const struct edn *v)
{
	bool ordered = v->type != EDN_MAP && v->type != EDN_SET;
	struct hash128 sum = {0, 0};
	size_t count = edn_item_count(v);
	size_t i;

	if (v->type < EDN_LIST)
		return of_leaf(v);
	for (i = 0; i < count; i++) {
		struct hash128 item = edn_identity(&v->items[i]);

		if (v->type == EDN_MAP)
			item = of_pair(item, edn_identity(&v->items[++i]));
		if (ordered) {
			sum = of_pair(sum, item);
		} else {
			sum.high += item.high;
			sum.low += item.low;
		}
	}
	return hash_words((uint64_t[]){v->type, count, sum.high, sum.low}, 4);
}
