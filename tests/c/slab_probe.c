/* SPDX-License-Identifier: MIT */
/*
 * slab_probe SEED STEPS
 *
 * Takes and frees objects of a slab pool at random, mostly taking and mostly freeing by turns, and looks at each before it
 * is freed: it holds what was written to it, all of it, and lies as it must. Prints the most objects that there were at
 * once and the KiB that are mapped more than before, at that time and when all are free.
 */
#include "slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS = 100000, SIZE_MAX_BYTES = 400 /* some past what slabs hold */, TURN = 50000 };

static struct object {
	unsigned char *at;
	uint16_t size;
	unsigned char fill;
} objects[OBJECTS];
static size_t count;
static struct slab_pool pool;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static uint64_t dice(void)
{
	static uint64_t state;

	return state = state * 6364136223846793005 + 1442695040888963407, state >> 33;
}

static void take(void)
{
	struct object *o = &objects[count++];

	/* many of a few sizes, as nodes are, and a few of many */
	o->size = (uint16_t)(dice() % 4 ? 16 + 24 * (dice() % 4) : 1 + dice() % SIZE_MAX_BYTES);
	o->fill = (unsigned char)dice();
	o->at = slab_alloc(&pool, o->size);
	if (!o->at)
		fail("out of memory");
	if ((uintptr_t)o->at % (o->size % 8 ? 1 : 8))
		fail("an object is not aligned");
	memset(o->at, o->fill, o->size);
}

static void give_back(void)
{
	struct object *o = &objects[dice() % count];

	for (size_t i = 0; i < o->size; i++)
		if (o->at[i] != o->fill)
			fail("an object has been written to");
	slab_free(&pool, o->at, o->size);
	*o = objects[--count];
}

static long mapped_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (!file || fscanf(file, "%ld", &pages) != 1)
		fail("no statm");
	fclose(file);
	return pages * 4;
}

int main(int argc, char **argv)
{
	long before, height, steps = argc == 3 ? atol(argv[2]) : 0;
	size_t most = 0;

	for (long seed = argc == 3 ? atol(argv[1]) : 0; seed > 0; seed--)
		dice();
	before = height = mapped_kib();
	for (long i = 0; i < steps; i++) {
		bool growing = i / TURN % 2 == 0;

		if (!count || (count < OBJECTS && dice() % 8 < (growing ? 6 : 2)))
			take();
		else
			give_back();
		if (count > most) {
			most = count;
			height = i % 1000 ? height : mapped_kib();
		}
	}
	while (count)
		give_back();
	slab_pool_release(&pool);
	printf("%zu %ld %ld\n", most, height - before, mapped_kib() - before);
	return 0;
}
