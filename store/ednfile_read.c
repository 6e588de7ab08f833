/* SPDX-License-Identifier: MIT */
#include "ednfile_map.h"
#include "huge.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

struct reading {
	struct ednmap *map;
	const char *text;
	size_t end; /* of what has been taken */
};

static int set_key(const struct ednmap *map, struct ednentry *entry)
{
	struct ednkey key;
	int ret = ednkey_read(&key, map->pool, map->prefix, ednentry_key(entry));

	if (ret)
		return ret;
	entry->hash = key.hash;
	entry->key_kind = key.kind;
	ednkey_release(&key);
	return 0;
}

static int add_entry(void *context, const struct edn_map_entry *found)
{
	struct reading *reading = context;
	struct ednmap *map = reading->map;
	struct ednentry *entry;
	int ret;

	if (map->used == map->cap && (ret = ednmap_grow_entries(map)))
		return ret;
	entry = &map->entries[map->used];
	*entry = (struct ednentry){
		.gap = reading->text + reading->end,
		.gap_len = (uint32_t)(found->key.offset - reading->end),
		.key = reading->text + found->key.offset,
		.key_len = (uint32_t)found->key.len,
		.mid_len = (uint32_t)(found->value.offset - found->key.offset - found->key.len),
		.value = reading->text + found->value.offset,
		.value_len = (uint32_t)found->value.len,
		.type = found->value_type,
		.unreadable = found->lenient || found->tagged,
	};
	reading->end = found->value.offset + found->value.len;
	ednmap_link_last(map, map->used++);
	return set_key(map, entry); /* now, while the key is in the processor's cache */
}

/* Where the '{' is becomes known at the end of the scan: up to there it is the head, and no gap. */
static void set_ends(struct ednmap *map, struct slice text, const struct edn_map_shape *shape,
	size_t end)
{
	struct ednentry *first = &map->entries[1];

	if (map->count) {
		first->gap += shape->open;
		first->gap_len -= (uint32_t)shape->open;
	} else {
		end = shape->open;
	}
	map->entries[0].gap = text.ptr + end;
	map->entries[0].gap_len = (uint32_t)(shape->close - end);
	map->head = slice_of(text.ptr, shape->open);
	map->foot = slice_of(text.ptr + shape->close, text.len - shape->close);
	map->prefix = shape->prefix;
}

/* Keys of a #:ns{} map have to be read again: the prefix was not known before. */
static int index_entries(struct ednmap *map)
{
	int ret = 0;

	for (uint32_t at = 1; map->prefix.len && at < map->used && !ret; at++)
		ret = set_key(map, &map->entries[at]);
	return ret ? ret : ednmap_index_all(map);
}

static int begin(struct reading *reading, struct ednmap *map, struct ednpool *pool,
	struct slice text, unsigned depth)
{
	int ret;

	*reading = (struct reading){.map = map, .text = text.ptr};
	*map = (struct ednmap){.pool = pool, .depth = depth};
	ret = ednmap_grow_entries(map);
	if (!ret)
		map->entries[map->used++] = (struct ednentry){.gap = ""};
	return ret;
}

/* ---- a large text, in two halves ---- */

enum { HALVES_FROM_BYTES = 16 << 20, HALF_ENTRIES = 65536, HALF_ENTRY_BYTES = 64 };

struct half {
	struct reading reading;
	struct ednmap map; /* its entries alone count */
	struct slice text;
	struct edn_join join;
	struct edn_tail *tail;
	pthread_t thread;
	bool runs;
};

/* So many entries, so short, are rather what is in a large value: all that is found there would be for nothing. */
static int add_half_entry(void *context, const struct edn_map_entry *entry)
{
	struct half *half = context;
	size_t most = HALF_ENTRIES + (entry->key.offset - half->join.from) / HALF_ENTRY_BYTES;

	return half->map.used > most ? -ECANCELED : add_entry(&half->reading, entry);
}

static void *read_half(void *context)
{
	struct half *half = context;
	struct ednmap *map = &half->map;

	half->tail = edn_tail_scan(half->text, &half->join, map->depth, map->pool->max_depth,
		add_half_entry, half);
	return NULL;
}

/* It takes no lock, so it may be waited for under any. */
static const struct edn_tail *wait_half(void *context)
{
	struct half *half = context;

	if (half->runs)
		pthread_join(half->thread, NULL);
	half->runs = false;
	return half->tail;
}

bool ednmap_in_halves(size_t bytes)
{
	cpu_set_t set;

	return bytes >= HALVES_FROM_BYTES && sched_getaffinity(0, sizeof(set), &set) == 0 &&
	       CPU_COUNT(&set) > 1;
}

/* Where it can't be, the first thread reads all. */
static void start_half(struct half *half, const struct ednmap *map, struct slice text)
{
	*half = (struct half){.text = text, .join = {.wait = wait_half, .context = half}};
	if (!ednmap_in_halves(text.len))
		return;
	if (!edn_join_guess(&half->join, text) ||
		begin(&half->reading, &half->map, map->pool, text, map->depth))
		return;
	half->reading.end = half->join.from;
	half->runs = pthread_create(&half->thread, NULL, read_half, half) == 0;
}

static int append_entries(struct ednmap *map, const struct ednmap *more)
{
	uint32_t count = more->used - 1;
	struct ednentry *grown;

	if (count > UINT32_MAX - map->used)
		return -EOVERFLOW;
	grown = huge_resize(map->entries, map->cap * sizeof(*grown),
		((size_t)map->used + count) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memcpy(grown + map->used, more->entries + 1, count * sizeof(*grown));
	map->entries = grown;
	map->cap = map->used + count;
	while (map->used < map->cap)
		ednmap_link_last(map, map->used++);
	return 0;
}

static void release_half(struct half *half)
{
	wait_half(half);
	edn_tail_free(half->tail);
	huge_free(half->map.entries, half->map.cap * sizeof(*half->map.entries));
}

static int scan(struct reading *reading, struct slice text, struct edn_map_shape *shape,
	struct err *err)
{
	struct ednmap *map = reading->map;
	struct half half;
	int ret;

	start_half(&half, map, text);
	ret = edn_scan_map_joined(text, map->depth, map->pool->max_depth, add_entry, reading,
		half.runs ? &half.join : NULL, shape, err);
	if (!ret && half.join.joined) {
		ret = append_entries(map, &half.map);
		reading->end = half.reading.end;
	}
	release_half(&half);
	return ret;
}

/* ---- all ---- */

int ednmap_read(struct ednmap *map, struct ednpool *pool, struct slice text, unsigned depth,
	struct err *err)
{
	struct reading reading;
	struct edn_map_shape shape;
	int ret = begin(&reading, map, pool, text, depth);

	if (!ret)
		ret = scan(&reading, text, &shape, err);
	if (!ret) {
		set_ends(map, text, &shape, reading.end);
		ret = index_entries(map);
	}
	if (ret)
		ednmap_release(map);
	return ret;
}
