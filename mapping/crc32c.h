/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CRC32C_H
#define OUROFS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC32C, the cyclic redundancy check with Castagnoli's polynomial (RFC 3720, appendix B.4): finds
 * damage, resists nobody who means it. The processor's own instruction is used where it has one, which is
 * asked at run time; all ways give the same.
 *
 *	crc = crc32c(0, head, head_len);
 *	crc = crc32c(crc, rest, rest_len);	// the same as of both in one piece
 */
uint32_t crc32c(uint32_t before, const void *bytes, size_t len);

/* One way to compute it, for tests and benchmarks. */
struct crc32c_way {
	const char *name;
	uint32_t (*compute)(uint32_t before, const void *bytes, size_t len);
};

enum { CRC32C_WAYS_MAX = 2 };

/* The ways that this machine has, the portable one first; crc32c takes the last. Returns how many. */
size_t crc32c_ways(struct crc32c_way ways[CRC32C_WAYS_MAX]);

#endif
