/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_HASH_H
#define OUROFS_EDN_HASH_H

#include "edn.h"

/*
 * Hashes of values by which duplicates are found. Internal to the edn_*.c files.
 *
 * Built up from the leaves, so that the reader, which has the hashes of what it just read, never walks
 * a value again. Each reading and scan has a seed of its own: hash64 alone would let a hostile file put
 * all of its keys in one bucket.
 */
uint64_t edn_hash_seed(const void *text);
/* Of edn_hash: the same in each run. With none (0) the empty text would be as if it were not there. */
#define EDN_HASH_SEED ((uint64_t)0xe7037ed1a0b428db)

/* Of a value without items. */
uint64_t edn_hash_leaf(const struct edn *v, uint64_t seed);
uint64_t edn_hash_text(enum edn_type type, struct slice text, uint64_t seed);
/* Of any value: walks it. */
uint64_t edn_hash_value(const struct edn *v, uint64_t seed);

static inline uint64_t edn_hash_mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

/* One step for each item, or for each entry of a map (edn_hash_entry). */
static inline uint64_t edn_hash_add(uint8_t type, uint64_t sum, uint64_t item)
{
	if (type == EDN_SET || type == EDN_MAP)
		return sum + edn_hash_mix(item);
	return edn_hash_mix(sum + item);
}

static inline uint64_t edn_hash_entry(uint64_t key, uint64_t value)
{
	return key ^ edn_hash_mix(value + 0x9e3779b97f4a7c15u);
}

static inline uint64_t edn_hash_end(uint8_t type, uint64_t sum, uint64_t seed)
{
	uint8_t kind = type == EDN_VECTOR ? EDN_LIST : type; /* [1] and (1) are equal */

	return edn_hash_mix(sum ^ edn_hash_mix(seed + kind));
}

uint64_t edn_hash_tagged(const struct edn *v, uint64_t under, uint64_t seed);

/* ---- edn_hash_memo.c ---- */

/*
 * Hashes of values that are asked for level by level, as where sets are in sets: what is large is remembered, so that
 * all together costs one walk, not one a level. Zeroed it is ready for use, and has a seed of its own. The values must
 * not change meanwhile.
 */
struct edn_hashes {
	uint64_t seed;
	struct edn_hashed *slots;
	size_t count;
	size_t cap;
};
uint64_t edn_hashes_of(struct edn_hashes *hashes, const struct edn *v);
void edn_hashes_release(struct edn_hashes *hashes);

/* ---- edn_unique.c ---- */

/* A key of a map, an element of a set, and where it stands in the text. */
struct edn_key {
	uint64_t hash;
	struct edn value;
	uint32_t offset;
	bool relative; /* in a #:ns{} map that is scanned: without its namespace */
	bool dropped;  /* what is in it is not known any more: it is compared by its hash */
};

struct edn_unique {
	uint32_t *slots; /* scratch, used again by the next map */
	size_t cap;
};

/* The first of count keys that equals one before it: *second; 0, 1 or -ENOMEM. */
int edn_find_duplicate(struct edn_unique *unique, const struct edn_key *keys, size_t count,
	const struct edn_key **second);
void edn_unique_release(struct edn_unique *unique);

#endif
