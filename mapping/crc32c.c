/* SPDX-License-Identifier: MIT */
#include "crc32c.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* ---- portable: eight bytes a step, by eight tables ("slicing-by-8", Kounavis and Berry) ---- */

/*
 * Table k holds what a byte becomes that k zero bytes follow. As the check is linear, the entry of a byte
 * is the sum (xor) of the entries of its bits, so that eight constants make a table.
 */
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                 \
	(((i)&1 ? (a) : 0) ^ ((i)&2 ? (b) : 0) ^ ((i)&4 ? (c) : 0) ^ ((i)&8 ? (d) : 0) ^ \
		((i)&16 ? (e) : 0) ^ ((i)&32 ? (f) : 0) ^ ((i)&64 ? (g) : 0) ^           \
		((i)&128 ? (h) : 0))
#define ENTRIES4(i, ...)                                                                 \
	ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__), \
		ENTRY((i) + 3, __VA_ARGS__)
#define ENTRIES16(i, ...)                                                                         \
	ENTRIES4(i, __VA_ARGS__), ENTRIES4((i) + 4, __VA_ARGS__), ENTRIES4((i) + 8, __VA_ARGS__), \
		ENTRIES4((i) + 12, __VA_ARGS__)
#define ENTRIES64(i, ...)                                            \
	ENTRIES16(i, __VA_ARGS__), ENTRIES16((i) + 16, __VA_ARGS__), \
		ENTRIES16((i) + 32, __VA_ARGS__), ENTRIES16((i) + 48, __VA_ARGS__)
#define TABLE(...)                                                               \
	{                                                                        \
		ENTRIES64(0, __VA_ARGS__), ENTRIES64(64, __VA_ARGS__),           \
			ENTRIES64(128, __VA_ARGS__), ENTRIES64(192, __VA_ARGS__) \
	}

static const uint32_t TABLES[8][256] = {
	TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc,
		0x82f63b78),
	TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604,
		0xfbc3faf9),
	TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9,
		0x8b277743),
	TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7,
		0x52a0c93f),
	TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae,
		0x6ea2d55c),
	TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb,
		0x1c08b7d6),
	TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a,
		0xf56e0ef4),
	TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32,
		0x34019664),
};

static uint64_t load_le64(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

static uint32_t portable(uint32_t before, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint32_t crc = ~before;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t word = load_le64(p) ^ crc;

		crc = TABLES[7][word & 255] ^ TABLES[6][word >> 8 & 255] ^
		      TABLES[5][word >> 16 & 255] ^ TABLES[4][word >> 24 & 255] ^
		      TABLES[3][word >> 32 & 255] ^ TABLES[2][word >> 40 & 255] ^
		      TABLES[1][word >> 48 & 255] ^ TABLES[0][word >> 56];
	}
	for (; len; len--, p++)
		crc = crc >> 8 ^ TABLES[0][(crc ^ *p) & 255];
	return ~crc;
}

/* ---- by the processor's instruction ---- */

#if defined(__x86_64__)

#define INSTRUCTION_NAME "sse4.2"

static bool has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t instruction(uint32_t before, const void *bytes,
	size_t len)
{
	const unsigned char *p = bytes;
	uint64_t crc = ~before;
	uint32_t rest;

	for (; len >= 8; len -= 8, p += 8)
		crc = _mm_crc32_u64(crc, load_le64(p));
	rest = (uint32_t)crc;
	for (; len; len--, p++)
		rest = _mm_crc32_u8(rest, *p);
	return ~rest;
}

#elif defined(__aarch64__)

#define INSTRUCTION_NAME "armv8-crc"

static bool has_instruction(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32;
}

/* In assembly, as compilers differ in how they let one function have more than the rest. */
static uint32_t instruction(uint32_t before, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint32_t crc = ~before;

	for (; len >= 8; len -= 8, p += 8)
		__asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1"
			: "+r"(crc)
			: "r"(load_le64(p)));
	for (; len; len--, p++)
		__asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1"
			: "+r"(crc)
			: "r"((uint32_t)*p));
	return ~crc;
}

#else

#define INSTRUCTION_NAME "none"

static bool has_instruction(void)
{
	return false;
}

static uint32_t instruction(uint32_t before, const void *bytes, size_t len)
{
	return portable(before, bytes, len);
}

#endif

uint32_t crc32c(uint32_t before, const void *bytes, size_t len)
{
	return has_instruction() ? instruction(before, bytes, len) : portable(before, bytes, len);
}

size_t crc32c_ways(struct crc32c_way ways[CRC32C_WAYS_MAX])
{
	ways[0] = (struct crc32c_way){"portable", portable};
	if (!has_instruction())
		return 1;
	ways[1] = (struct crc32c_way){INSTRUCTION_NAME, instruction};
	return 2;
}
