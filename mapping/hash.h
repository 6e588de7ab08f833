/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_HASH_H
#define OUROFS_HASH_H

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

uint64_t hash64(const void *bytes, size_t len, uint64_t seed);
struct hash128 hash128(const void *bytes, size_t len);

#endif
