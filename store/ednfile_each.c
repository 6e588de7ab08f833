/* SPDX-License-Identifier: MIT */
#include "ednfile_private.h"

#include <errno.h>

static int tell_entry(const struct ednfile *file, const struct ednmap *map, uint32_t at,
	ednfile_each_fn *fn, void *context)
{
	const struct ednentry *entry = &map->entries[at];
	struct ednfile_item item;
	struct ednkey key;
	int ret = ednfile_item_of(file, map, at, &item);

	if (ret)
		return ret;
	if (entry->key_kind == EDNKEY_PLAIN)
		return fn(context, ednentry_key(entry), &item);
	ret = ednkey_read(&key, map->pool, map->prefix, ednentry_key(entry));
	if (ret)
		return ret;
	ret = fn(context, key.text, &item);
	ednkey_release(&key);
	return ret;
}

/* Keys stand far from each other in a large text: each is on its way from memory a few entries before its turn. */
static void fetch_ahead(const struct ednmap *map, uint32_t at)
{
	enum { AHEAD = 8 };
	const struct ednentry *entry = &map->entries[at + AHEAD < map->used ? at + AHEAD : at];

	if (!entry->key)
		return;
	__builtin_prefetch(entry->key);
	__builtin_prefetch(entry->key + entry->key_len - 1);
}

static int each_in(const struct ednfile *file, const struct ednmap *map, ednfile_each_fn *fn,
	void *context)
{
	int ret = 0;

	for (uint32_t at = map->entries[0].next; at && !ret; at = map->entries[at].next) {
		fetch_ahead(map, at);
		ret = tell_entry(file, map, at, fn, context);
	}
	return ret < 0 ? ret : 0;
}

int ednfile_each(const struct ednfile *file, ednfile_each_fn *fn, void *context)
{
	return each_in(file, &file->map, fn, context);
}

int ednfile_each_member(const struct ednfile *file, struct slice key, ednfile_each_fn *fn,
	void *context)
{
	struct ednmap *child;
	int ret = ednfile_find_child(file, key, &child);

	return ret ? ret : each_in(file, child, fn, context);
}

struct names {
	const struct ednpool *pool;
	const char *text;
	ednfile_each_fn *fn;
	void *context;
};

static int tell_name(void *context, const struct edn_map_entry *entry)
{
	const struct names *names = context;
	struct slice written = slice_of(names->text + entry->key.offset, entry->key.len);
	struct ednkey key;
	int ret = ednkey_read(&key, names->pool, slice_of(NULL, 0), written);

	if (ret)
		return ret;
	ret = names->fn(names->context, key.text, NULL);
	ednkey_release(&key);
	return ret;
}

int ednfile_each_name(const struct ednfile *file, struct slice key, ednfile_each_fn *fn,
	void *context)
{
	struct names names = {&file->pool, NULL, fn, context};
	const struct ednentry *entry;
	uint32_t at;
	int ret = ednfile_find_in(&file->map, key, &at);

	if (ret)
		return ret;
	entry = &file->map.entries[at];
	names.text = entry->value;
	/* what the prefix of a #:ns{} is the scan says only at its end */
	if (entry->type != EDN_MAP || entry->value[0] != '{' ||
		__atomic_load_n(&entry->child, __ATOMIC_ACQUIRE))
		return ednfile_each_member(file, key, fn, context);
	return edn_scan_map(slice_of(entry->value, entry->value_len), file->map.depth + 1,
		file->pool.max_depth, tell_name, &names, NULL, NULL);
}
