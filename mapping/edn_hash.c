/* SPDX-License-Identifier: MIT */
#include "edn_compare.h"
#include "edn_hash.h"

#include <time.h>

uint64_t edn_hash_seed(const void *text)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return edn_hash_mix((uint64_t)(uintptr_t)text ^ (uint64_t)(uintptr_t)&now << 24 ^
			    (uint64_t)now.tv_nsec << 40 ^ (uint64_t)now.tv_sec);
}

static uint64_t load(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Up to eight bytes as a word that no other text of this length gives. */
static uint64_t load_short(const char *at, size_t len)
{
	uint32_t low;
	uint32_t high;

	if (len >= 4) {
		memcpy(&low, at, sizeof(low));
		memcpy(&high, at + len - 4, sizeof(high));
		return (uint64_t)high << 32 | low;
	}
	if (len == 0)
		return 0;
	return (uint64_t)(unsigned char)at[0] << 16 | (uint64_t)(unsigned char)at[len / 2] << 8 |
	       (unsigned char)at[len - 1];
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/*
 * Most words are shorter than 17 bytes, which hash64, made for the disk, has to take by pieces of any length;
 * here the last piece may overlap the one before.
 */
uint64_t edn_hash_text(enum edn_type type, struct slice text, uint64_t seed)
{
	const char *at = text.ptr;
	size_t left = text.len;
	uint64_t h = seed + (uint64_t)type * 0x9e3779b97f4a7c15u;

	for (; left > 16; left -= 16, at += 16)
		h = fold(load(at) ^ seed, load(at + 8) ^ h ^ 0x8bb84b93962eacc9u);
	if (left > 8)
		h = fold(load(at) ^ seed, load(at + left - 8) ^ h ^ 0x8bb84b93962eacc9u);
	else
		h = fold(load_short(at, left) ^ seed, h ^ 0x4b33a62ed433d4a3u);
	return fold(h ^ text.len, seed ^ 0x2d358dccaa6c78a5u);
}

static uint64_t hash_word(enum edn_type type, uint64_t word, uint64_t seed)
{
	return edn_hash_mix(edn_hash_mix(word + seed) + type + seed);
}

static uint64_t hash_double(double real, uint64_t seed)
{
	uint64_t bits;

	if (real == 0)
		real = 0; /* -0.0 = 0.0 */
	memcpy(&bits, &real, sizeof(bits));
	if (real != real)
		bits = UINT64_MAX;
	return hash_word(EDN_DOUBLE, bits, seed);
}

/* 1 = 1N: what fits a Long hashes as one. */
static uint64_t hash_bigint(const struct edn *v, uint64_t seed)
{
	int64_t integer;

	if (edn_fits_long(v, &integer))
		return hash_word(EDN_INT, (uint64_t)integer, seed);
	return edn_hash_text(EDN_BIGINT, edn_text(v), seed);
}

/* 1.0M = 1.00M: coefficient without zeros at the end, and where its first digit stands. */
static uint64_t hash_decimal(const struct edn *v, uint64_t seed)
{
	struct edn_decimal_parts d = edn_decimal_parts(edn_text(v));
	uint64_t h = 0;
	size_t i;

	for (i = 0; i < d.count; i++)
		if (d.digits.ptr[i] != '.')
			h = edn_hash_mix(h + seed + (unsigned char)d.digits.ptr[i]);
	return hash_word(EDN_DECIMAL, h + (uint64_t)d.exponent * 2 + d.negative, seed);
}

uint64_t edn_hash_leaf(const struct edn *v, uint64_t seed)
{
	switch ((enum edn_type)v->type) {
	case EDN_NIL:
		return hash_word(EDN_NIL, 0, seed);
	case EDN_BOOL:
	case EDN_INT:
	case EDN_CHAR:
		return hash_word(v->type, (uint64_t)v->integer, seed);
	case EDN_BIGINT:
		return hash_bigint(v, seed);
	case EDN_DOUBLE:
		return hash_double(v->real, seed);
	case EDN_DECIMAL:
		return hash_decimal(v, seed);
	default:
		return edn_hash_text(v->type, edn_text(v), seed);
	}
}

uint64_t edn_hash_value(const struct edn *v, uint64_t seed)
{
	size_t count = edn_item_count(v);
	uint64_t sum = 0;
	size_t i;

	if (v->type < EDN_LIST)
		return edn_hash_leaf(v, seed);
	for (i = 0; i < count; i++) {
		uint64_t item = edn_hash_value(&v->items[i], seed);

		if (v->type == EDN_MAP)
			item = edn_hash_entry(item, edn_hash_value(&v->items[++i], seed));
		sum = edn_hash_add(v->type, sum, item);
	}
	return edn_hash_end(v->type, sum, seed);
}

/* From the hash of the value under the tag; that of an instant or uuid may have been normalised since. */
uint64_t edn_hash_tagged(const struct edn *v, uint64_t under, uint64_t seed)
{
	uint64_t sum = edn_hash_add(EDN_TAGGED, 0, edn_hash_leaf(&v->items[0], seed));

	if (v->items[1].type == EDN_STRING)
		under = edn_hash_leaf(&v->items[1], seed);
	return edn_hash_end(EDN_TAGGED, edn_hash_add(EDN_TAGGED, sum, under), seed);
}

uint64_t edn_hash(const struct edn *v)
{
	return edn_hash_value(v, EDN_HASH_SEED);
}
