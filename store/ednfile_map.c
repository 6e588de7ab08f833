/* SPDX-License-Identifier: MIT */
#include "ednfile_map.h"

#include <errno.h>
#include <stdlib.h>

#include "huge.h"

/* ---- entries ---- */

int ednmap_grow_entries(struct ednmap *map)
{
	uint32_t cap = map->cap ? map->cap * 2 : 8;
	struct ednentry *grown;

	if (map->cap > UINT32_MAX / 2)
		return -EOVERFLOW;
	grown = huge_resize(map->entries, map->cap * sizeof(*grown), cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	map->entries = grown;
	map->cap = cap;
	return 0;
}

int ednmap_index_all(struct ednmap *map)
{
	uint32_t cap = map->index_cap ? map->index_cap : 8;
	uint32_t *grown;

	while (cap - cap / 4 <= map->count + 1) {
		if (cap > UINT32_MAX / 2)
			return -EOVERFLOW;
		cap *= 2;
	}
	if (cap == map->index_cap)
		return 0;
	grown = huge_alloc(cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	huge_free(map->index, map->index_cap * sizeof(*grown));
	map->index = grown;
	map->index_cap = cap;
	for (uint32_t at = map->entries[0].next; at; at = map->entries[at].next)
		ednmap_index_add(map, at);
	return 0;
}

int ednmap_reserve_entries(struct ednmap *map, uint32_t count)
{
	map->entries = huge_alloc(count * sizeof(*map->entries));
	if (!map->entries)
		return -ENOMEM;
	map->cap = count;
	return 0;
}

int ednmap_reserve(struct ednmap *map, uint32_t *at)
{
	int ret = ednmap_index_all(map);

	if (ret)
		return ret;
	if (!map->free) {
		if (map->used == map->cap && (ret = ednmap_grow_entries(map)))
			return ret;
		map->entries[map->used] = (struct ednentry){.next = 0};
		map->free = map->used++;
	}
	*at = map->free;
	return 0;
}

void ednmap_index_add(struct ednmap *map, uint32_t at)
{
	uint32_t mask = map->index_cap - 1;
	uint32_t i = map->entries[at].hash & mask;

	while (map->index[i])
		i = (i + 1) & mask;
	map->index[i] = at;
}

void ednmap_index_remove(struct ednmap *map, uint32_t at)
{
	uint32_t mask = map->index_cap - 1;
	uint32_t hole = map->entries[at].hash & mask;
	uint32_t i;

	while (map->index[hole] != at)
		hole = (hole + 1) & mask;
	/* Those behind move up, unless that would put them before where their search begins. */
	for (i = (hole + 1) & mask; map->index[i]; i = (i + 1) & mask) {
		uint32_t home = map->entries[map->index[i]].hash & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		map->index[hole] = map->index[i];
		hole = i;
	}
	map->index[hole] = 0;
}

void ednmap_link_last(struct ednmap *map, uint32_t at)
{
	struct ednentry *entries = map->entries;

	entries[at].next = 0;
	entries[at].prev = entries[0].prev;
	entries[entries[0].prev].next = at;
	entries[0].prev = at;
	map->count++;
	map->unreadable += entries[at].unreadable;
}

void ednmap_add(struct ednmap *map, uint32_t at, const struct ednentry *entry)
{
	map->free = map->entries[at].next;
	map->entries[at] = *entry;
	ednmap_link_last(map, at);
	ednmap_index_add(map, at);
}

void ednentry_drop_value(struct ednmap *map, struct ednentry *entry)
{
	ednmap_free(entry->child);
	entry->child = NULL;
	if (entry->owns & EDN_OWNS_VALUE)
		ednblock_drop(map->pool, ednblock_of(entry->value));
	entry->owns &= ~EDN_OWNS_VALUE;
}

void ednentry_set_gap(struct ednmap *map, struct ednentry *entry, struct ednblock *block)
{
	if (entry->owns & EDN_OWNS_GAP)
		ednblock_drop(map->pool, ednblock_of(entry->gap));
	entry->gap = block->bytes;
	entry->gap_len = (uint32_t)block->size;
	entry->owns |= EDN_OWNS_GAP;
}

void ednentry_drop(struct ednmap *map, struct ednentry *entry)
{
	ednentry_drop_value(map, entry);
	if (entry->owns & EDN_OWNS_GAP)
		ednblock_drop(map->pool, ednblock_of(entry->gap));
	if (entry->owns & EDN_OWNS_KEY)
		ednblock_drop(map->pool, ednblock_of(entry->key));
}

void ednmap_recycle(struct ednmap *map, uint32_t at)
{
	struct ednentry *entry = &map->entries[at];

	map->entries[entry->prev].next = entry->next;
	map->entries[entry->next].prev = entry->prev;
	map->count--;
	map->unreadable -= entry->unreadable;
	ednentry_drop(map, entry);
	*entry = (struct ednentry){.next = map->free};
	map->free = at;
}

/* ---- going ---- */

void ednmap_release(struct ednmap *map)
{
	if (!map)
		return;
	for (uint32_t at = 0; at < map->used; at++)
		ednentry_drop(map, &map->entries[at]);
	huge_free(map->entries, map->cap * sizeof(*map->entries));
	huge_free(map->index, map->index_cap * sizeof(*map->index));
	ednblock_drop(map->pool, map->flat);
	ednblock_drop(map->pool, map->image);
	*map = (struct ednmap){.pool = map->pool};
}

void ednmap_free(struct ednmap *map)
{
	if (!map)
		return;
	ednmap_release(map);
	free(map);
}
