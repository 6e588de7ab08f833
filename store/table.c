/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <errno.h>
#include <stdlib.h>

#include "hash.h"

enum { FIRST_CAP = 16 };

struct table_entry {
	uint64_t hash;
	void *value;
	size_t len;
	char key[];
};

static uint64_t hash_of(struct slice key)
{
	return hash64(key.ptr, key.len, 0);
}

/* The slot that holds key, or the empty one where it would go. cap > 0 and one slot is empty. */
static size_t find(const struct table *table, struct slice key, uint64_t hash)
{
	size_t mask = table->cap - 1;
	size_t i = hash & mask;

	while (table->slots[i]) {
		const struct table_entry *entry = table->slots[i];

		if (entry->hash == hash && slice_equal(slice_of(entry->key, entry->len), key))
			break;
		i = (i + 1) & mask;
	}
	return i;
}

void *table_get(const struct table *table, struct slice key)
{
	const struct table_entry *entry;

	if (!table->count)
		return NULL;
	entry = table->slots[find(table, key, hash_of(key))];
	return entry ? entry->value : NULL;
}

static int grow(struct table *table)
{
	size_t cap = table->cap ? table->cap * 2 : FIRST_CAP;
	struct table_entry **slots = calloc(cap, sizeof(struct table_entry *));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < table->cap; i++) {
		struct table_entry *entry = table->slots[i];
		size_t to;

		if (!entry)
			continue;
		for (to = entry->hash & (cap - 1); slots[to];)
			to = (to + 1) & (cap - 1);
		slots[to] = entry;
	}
	free(table->slots);
	table->slots = slots;
	table->cap = cap;
	return 0;
}

int table_put(struct table *table, struct slice key, void *value, void **old)
{
	uint64_t hash = hash_of(key);
	struct table_entry *entry;
	size_t i;

	/* at most 5/8 full: short probes, and find always meets an empty slot */
	if ((table->count + 1) * 8 > table->cap * 5 && grow(table))
		return -ENOMEM;
	i = find(table, key, hash);
	if (table->slots[i]) {
		if (old)
			*old = table->slots[i]->value;
		table->slots[i]->value = value;
		return 0;
	}
	entry = malloc(sizeof(*entry) + key.len);
	if (!entry)
		return -ENOMEM;
	*entry = (struct table_entry){.hash = hash, .value = value, .len = key.len};
	if (key.len)
		memcpy(entry->key, key.ptr, key.len);
	table->slots[i] = entry;
	table->count++;
	if (old)
		*old = NULL;
	return 0;
}

/* Closes the hole at i by moving back what probed past it, so that no tombstones are needed. */
static void close_hole(struct table *table, size_t hole)
{
	size_t mask = table->cap - 1;

	for (size_t i = (hole + 1) & mask; table->slots[i]; i = (i + 1) & mask) {
		size_t home = table->slots[i]->hash & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		table->slots[hole] = table->slots[i];
		table->slots[i] = NULL;
		hole = i;
	}
}

void *table_remove(struct table *table, struct slice key)
{
	struct table_entry *entry;
	void *value;
	size_t i;

	if (!table->count)
		return NULL;
	i = find(table, key, hash_of(key));
	entry = table->slots[i];
	if (!entry)
		return NULL;
	value = entry->value;
	table->slots[i] = NULL;
	table->count--;
	close_hole(table, i);
	free(entry);
	return value;
}

bool table_next(const struct table *table, size_t *at, struct slice *key, void **value)
{
	for (; *at < table->cap; (*at)++) {
		struct table_entry *entry = table->slots[*at];

		if (!entry)
			continue;
		*key = slice_of(entry->key, entry->len);
		*value = entry->value;
		(*at)++;
		return true;
	}
	return false;
}

void table_release(struct table *table, void (*free_value)(void *value))
{
	for (size_t i = 0; i < table->cap; i++) {
		if (!table->slots[i])
			continue;
		if (free_value)
			free_value(table->slots[i]->value);
		free(table->slots[i]);
	}
	free(table->slots);
	*table = (struct table){0};
}
