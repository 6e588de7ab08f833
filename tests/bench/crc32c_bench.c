/* SPDX-License-Identifier: MIT */
/* How fast CRC32C is by each way that this machine has, for small records and large ones. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crc32c.h"

enum { BYTES = 1 << 20, ROUNDS = 15 };

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* GB/s over pieces of len bytes, the median of the rounds. */
static double measure(const struct crc32c_way *way, const unsigned char *bytes, size_t len)
{
	double rates[ROUNDS];
	uint32_t crc = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now_s();

		for (size_t at = 0; at + len <= BYTES; at += len)
			crc ^= way->compute(0, bytes + at, len);
		rates[round] = (double)(BYTES / len * len) / (now_s() - start) / 1e9;
	}
	qsort(rates, ROUNDS, sizeof(rates[0]), compare);
	/* so that the compiler can't leave the work out */
	return crc == 1 ? 0 : rates[ROUNDS / 2];
}

int main(void)
{
	static const size_t lengths[] = {64, 400, 4096, BYTES};
	struct crc32c_way ways[CRC32C_WAYS_MAX];
	size_t count = crc32c_ways(ways);
	unsigned char *bytes = malloc(BYTES);

	if (!bytes)
		return 2;
	memset(bytes, 0x5a, BYTES);
	for (size_t i = 0; i < count; i++) {
		printf("crc32c %-10s", ways[i].name);
		for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++)
			printf("%s%zu bytes: %.2f GB/s", k ? ", " : "", lengths[k],
				measure(&ways[i], bytes, lengths[k]));
		printf("\n");
	}
	free(bytes);
	return 0;
}
