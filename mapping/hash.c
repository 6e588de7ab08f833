/* SPDX-License-Identifier: MIT */
#include "hash.h"

#include <endian.h>
#include <string.h>

/* wyhash's construction (multiply 64x64 to 128 bits and fold), by Wang Yi, public domain. */
static const uint64_t SECRET[4] = {
	0x2d358dccaa6c78a5u, 0x8bb84b93962eacc9u, 0x4b33a62ed433d4a3u, 0x4d5a2da51de1aa47u};

static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load_le(const unsigned char *p, size_t len)
{
	uint64_t word = 0;

	memcpy(&word, p, len);
	return le64toh(word);
}

uint64_t hash64(const void *bytes, size_t len, uint64_t seed)
{
	const unsigned char *p = bytes;
	uint64_t h = seed ^ fold(seed ^ SECRET[0], SECRET[1]);
	size_t left = len;

	for (; left > 16; left -= 16, p += 16)
		h = fold(load_le(p, 8) ^ SECRET[1], load_le(p + 8, 8) ^ h);
	if (left > 8)
		h = fold(load_le(p, 8) ^ SECRET[2], load_le(p + 8, left - 8) ^ h);
	else if (left)
		h = fold(load_le(p, left) ^ SECRET[2], h ^ SECRET[3]);
	return fold(h ^ SECRET[1], (uint64_t)len ^ SECRET[0]);
}

struct hash128 hash128(const void *bytes, size_t len)
{
	return (struct hash128){
		hash64(bytes, len, 0x6f75726f66733031u), hash64(bytes, len, 0x6f75726f66733032u)};
}
