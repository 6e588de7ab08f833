/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_JOURNAL_BYTES_H
#define OUROFS_JOURNAL_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"

/* Numbers and checksums as they stand in the journal's files; for journal_format.c and journal_reader.c. */

enum {
	JOURNAL_CHECK_AT = 32
}; /* in a record's head: CRC32C of what is before it, and the payload */

uint32_t journal_check_of(const char *head, struct slice payload);

static inline void put_le32(char *at, uint32_t n)
{
	n = htole32(n);
	memcpy(at, &n, sizeof(n));
}

static inline void put_le64(char *at, uint64_t n)
{
	n = htole64(n);
	memcpy(at, &n, sizeof(n));
}

static inline uint32_t get_le32(const char *at)
{
	uint32_t n;

	memcpy(&n, at, sizeof(n));
	return le32toh(n);
}

static inline uint64_t get_le64(const char *at)
{
	uint64_t n;

	memcpy(&n, at, sizeof(n));
	return le64toh(n);
}

#endif
