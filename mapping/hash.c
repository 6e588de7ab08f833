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

static uint64_t begin(uint64_t seed)
{
	return seed ^ fold(seed ^ SECRET[0], SECRET[1]);
}

static uint64_t add_block(uint64_t h, const unsigned char *p)
{
	return fold(load_le(p, 8) ^ SECRET[1], load_le(p + 8, 8) ^ h);
}

/* The last bytes, at most 16 of them. */
static uint64_t finish(uint64_t h, const unsigned char *p, size_t left, uint64_t len)
{
	if (left > 8)
		h = fold(load_le(p, 8) ^ SECRET[2], load_le(p + 8, left - 8) ^ h);
	else if (left)
		h = fold(load_le(p, left) ^ SECRET[2], h ^ SECRET[3]);
	return fold(h ^ SECRET[1], len ^ SECRET[0]);
}

uint64_t hash64(const void *bytes, size_t len, uint64_t seed)
{
	const unsigned char *p = bytes;
	uint64_t h = begin(seed);
	size_t left = len;

	for (; left > 16; left -= 16, p += 16)
		h = add_block(h, p);
	return finish(h, p, left, len);
}

static const uint64_t SEEDS[2] = {0x6f75726f66733031u, 0x6f75726f66733032u};

/* Both in one pass: a large text is read from memory once, and neither multiplication waits for the other. */
struct hash128 hash128(const void *bytes, size_t len)
{
	uint64_t high = begin(SEEDS[0]), low = begin(SEEDS[1]);
	const unsigned char *p = bytes;
	size_t left = len;

	for (; left > 16; left -= 16, p += 16) {
		high = add_block(high, p);
		low = add_block(low, p);
	}
	return (struct hash128){finish(high, p, left, len), finish(low, p, left, len)};
}

void hash_stream_init(struct hash_stream *stream)
{
	*stream = (struct hash_stream){.state = {begin(SEEDS[0]), begin(SEEDS[1])}};
}

static void stream_block(struct hash_stream *stream, const unsigned char *p)
{
	stream->state[0] = add_block(stream->state[0], p);
	stream->state[1] = add_block(stream->state[1], p);
}

void hash_stream_add(struct hash_stream *stream, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	stream->total += len;
	while (len) {
		size_t part;

		/* a block is added only when more comes: the last one is finish's */
		if (stream->held == sizeof(stream->block)) {
			stream_block(stream, stream->block);
			stream->held = 0;
			for (; len > 16; len -= 16, p += 16)
				stream_block(stream, p);
		}
		part = sizeof(stream->block) - stream->held;
		if (part > len)
			part = len;
		memcpy(stream->block + stream->held, p, part);
		stream->held += (unsigned)part;
		p += part;
		len -= part;
	}
}

struct hash128 hash_stream_end(const struct hash_stream *stream)
{
	return (struct hash128){
		finish(stream->state[0], stream->block, stream->held, stream->total),
		finish(stream->state[1], stream->block, stream->held, stream->total)};
}
