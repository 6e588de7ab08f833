/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_HASH_H
#define OUROFS_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Hashes of bytes, the same on every machine and in every version: both are written to disk.
 *
 * hash64 is for tables and inode numbers; hash128 stands for the content itself (is this text the
 * one we wrote?). Neither resists someone who builds collisions on purpose, so whoever decides by
 * hash128 alone must lose nothing when it is wrong.
 */
struct hash128 {
	uint64_t high;
	uint64_t low;
};

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.high == b.high && a.low == b.low;
}

uint64_t hash64(const void *bytes, size_t len, uint64_t seed);
struct hash128 hash128(const void *bytes, size_t len);

/*
 * The same hash128 of bytes that come in pieces:
 *
 *	struct hash_stream stream;
 *	hash_stream_init(&stream);
 *	hash_stream_add(&stream, bytes, len);		// any number of times
 *	hash = hash_stream_end(&stream);
 */
struct hash_stream {
	uint64_t state[2];
	uint64_t total;
	unsigned held; /* bytes of block: the last ones, 1 to 16 of them once there are any */
	unsigned char block[16];
};
void hash_stream_init(struct hash_stream *stream);
void hash_stream_add(struct hash_stream *stream, const void *bytes, size_t len);
struct hash128 hash_stream_end(const struct hash_stream *stream);

#endif
