/* SPDX-License-Identifier: MIT */
/*
 * A door to CRC32C for tests: a line "HEX CUT" on stdin, and on stdout the check of those bytes by each
 * way that this machine has, then by crc32c itself in two pieces, cut behind CUT bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "crc32c.h"

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void answer(char *line)
{
	struct crc32c_way ways[CRC32C_WAYS_MAX];
	size_t count = crc32c_ways(ways);
	size_t hexed = strcspn(line, " ");
	size_t cut = strtoul(line + hexed, NULL, 10);
	size_t len = hexed / 2;
	unsigned char *bytes = malloc(len + 1);

	if (!bytes)
		exit(1);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)(digit(line[2 * i]) << 4 | digit(line[2 * i + 1]));
	for (size_t i = 0; i < count; i++)
		printf("%s=%08" PRIx32 " ", ways[i].name, ways[i].compute(0, bytes, len));
	printf("pieces=%08" PRIx32 "\n", crc32c(crc32c(0, bytes, cut), bytes + cut, len - cut));
	fflush(stdout);
	free(bytes);
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0)
		answer(line);
	free(line);
	return 0;
}
