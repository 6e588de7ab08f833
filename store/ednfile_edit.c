/* SPDX-License-Identifier: MIT */
#include "ednfile_map.h"

#include <errno.h>
#include <stdlib.h>

static void touch(struct ednmap *map)
{
	map->edited = true;
	ednblock_drop(map->pool, map->flat);
	map->flat = NULL;
}

static int copy_gap(struct ednmap *map, const struct buf *text, struct ednblock **block)
{
	*block = ednblock_copy(map->pool, buf_slice(text));
	return *block ? 0 : -ENOMEM;
}

struct appending {
	struct ednblock *key; /* with a blank behind */
	struct ednblock *gap;
	struct ednblock *last;
	uint32_t at;
};

static int prepare_append(struct ednmap *map, const struct ednkey *key, struct appending *new)
{
	struct buf text = BUF_INIT;
	struct buf last = BUF_INIT;
	bool open_up;
	int ret = ednkey_spell(map, key, &text, &open_up);

	if (!ret && open_up)
		ret = ednmap_rebuild(map, true);
	if (ret)
		goto out;
	buf_add_char(&text, ' ');
	ret = buf_error(&text) ? -ENOMEM : copy_gap(map, &text, &new->key);
	buf_reset(&text);
	if (!ret)
		ret = edngap_append(map, &text, &last);
	if (!ret)
		ret = copy_gap(map, &text, &new->gap);
	if (!ret)
		ret = copy_gap(map, &last, &new->last);
	if (!ret)
		ret = ednmap_reserve(map, &new->at);
out:
	buf_release(&text);
	buf_release(&last);
	return ret;
}

int ednmap_append(struct ednmap *map, const struct ednkey *key, struct ednblock *value,
	const struct ednpair *pair)
{
	struct appending new = {.at = 0};
	int ret = prepare_append(map, key, &new);

	if (ret) {
		ednblock_drop(map->pool, new.key);
		ednblock_drop(map->pool, new.gap);
		ednblock_drop(map->pool, new.last);
		return ret;
	}
	ednmap_add(map, new.at,
		&(struct ednentry){
			.gap = new.gap->bytes,
			.gap_len = (uint32_t) new.gap->size,
			.key = new.key->bytes,
			.key_len = (uint32_t) new.key->size - 1,
			.mid_len = 1,
			.value = value->bytes,
			.value_len = (uint32_t)value->size,
			.hash = key->hash,
			.type = pair->type,
			.key_kind = map->prefix.len && key->kind == EDNKEY_PLAIN ? EDNKEY_SPELLED
										 : key->kind,
			.owns = EDN_OWNS_GAP | EDN_OWNS_KEY | EDN_OWNS_VALUE,
			.unreadable = pair->unreadable,
		});
	ednentry_set_gap(map, &map->entries[0], new.last);
	touch(map);
	return 0;
}

/* A key block of its own, with `mid` behind it. */
static void set_key(struct ednmap *map, struct ednentry *entry, struct ednblock *block,
	size_t mid_len)
{
	if (entry->owns & EDN_OWNS_KEY)
		ednblock_drop(map->pool, ednblock_of(entry->key));
	entry->key = block->bytes;
	entry->key_len = (uint32_t)(block->size - mid_len);
	entry->mid_len = (uint32_t)mid_len;
	entry->owns |= EDN_OWNS_KEY;
}

static int key_block(struct ednmap *map, struct slice written, struct slice mid,
	struct ednblock **block, size_t *mid_len)
{
	struct buf text = BUF_INIT;
	int ret;

	buf_add_slice(&text, written);
	if (mid.len && ednpieces_need_space(EDNPIECE_FORM, written, mid))
		buf_add_char(&text, ' ');
	buf_add_slice(&text, mid);
	*mid_len = text.len - written.len;
	ret = buf_error(&text) ? -ENOMEM : copy_gap(map, &text, block);
	buf_release(&text);
	return ret;
}

int ednmap_strip_value(struct ednmap *map, uint32_t at)
{
	struct ednentry *entry = &map->entries[at];
	struct slice mid = ednentry_mid(entry);
	struct buf stripped = BUF_INIT;
	struct ednblock *block;
	size_t mid_len;
	int ret;

	if (!memchr(mid.ptr, '^', mid.len))
		return 0;
	ret = edngap_strip_meta(map->pool, mid, &stripped);
	if (!ret)
		ret = key_block(map, ednentry_key(entry), buf_slice(&stripped), &block, &mid_len);
	if (!ret)
		set_key(map, entry, block, mid_len);
	buf_release(&stripped);
	return ret;
}

void ednmap_set_value(struct ednmap *map, uint32_t at, struct ednblock *value,
	const struct ednpair *pair)
{
	struct ednentry *entry = &map->entries[at];

	ednentry_drop_value(map, entry);
	entry->value = value->bytes;
	entry->value_len = (uint32_t)value->size;
	entry->type = pair->type;
	entry->owns |= EDN_OWNS_VALUE;
	entry->slot = 0;
	ednmap_set_unreadable(map, at, pair->unreadable);
	touch(map);
}

/* A gap without metadata of the key that was behind it; NULL when there is none. */
static int strip_gap(struct ednmap *map, const struct ednentry *entry, struct ednblock **block)
{
	struct slice gap = ednentry_gap(entry);
	struct buf stripped = BUF_INIT;
	int ret = 0;

	*block = NULL;
	if (memchr(gap.ptr, '^', gap.len)) {
		ret = edngap_strip_meta(map->pool, gap, &stripped);
		if (!ret)
			ret = copy_gap(map, &stripped, block);
	}
	buf_release(&stripped);
	return ret;
}

int ednmap_rekey(struct ednmap *map, uint32_t at, const struct ednkey *key)
{
	struct buf written = BUF_INIT;
	struct ednblock *gap = NULL;
	struct ednblock *block;
	struct ednentry *entry;
	size_t mid_len;
	bool open_up;
	int ret = ednkey_spell(map, key, &written, &open_up);

	if (!ret && open_up)
		ret = ednmap_rebuild(map, true);
	entry = &map->entries[at];
	if (!ret)
		ret = strip_gap(map, entry, &gap);
	if (!ret)
		ret = key_block(map, buf_slice(&written), ednentry_mid(entry), &block, &mid_len);
	buf_release(&written);
	if (ret) {
		ednblock_drop(map->pool, gap);
		return ret;
	}
	if (gap)
		ednentry_set_gap(map, entry, gap);
	ednmap_index_remove(map, at);
	set_key(map, entry, block, mid_len);
	entry->hash = key->hash;
	entry->key_kind = map->prefix.len && key->kind == EDNKEY_PLAIN ? EDNKEY_SPELLED : key->kind;
	ednmap_index_add(map, at);
	touch(map);
	return 0;
}

void ednmap_remove(struct ednmap *map, uint32_t at)
{
	struct ednentry *entry = &map->entries[at];
	struct ednentry *next = &map->entries[entry->next];
	struct edngap_around around = {
		.before = ednentry_gap(entry),
		.after = ednentry_gap(next),
		.first = !entry->prev,
		.last = !entry->next,
	};
	struct buf gap = BUF_INIT;
	struct ednblock *block;

	/* Without memory the gap behind stays as it is, which is right too, if less tidy. */
	if (!edngap_merge(map->pool, &around, &gap) &&
		!slice_equal(buf_slice(&gap), around.after)) {
		block = ednblock_copy(map->pool, buf_slice(&gap));
		if (block)
			ednentry_set_gap(map, next, block);
	}
	buf_release(&gap);
	ednmap_index_remove(map, at);
	ednmap_recycle(map, at);
	touch(map);
}

struct ednmap *ednmap_child(const struct ednmap *map, uint32_t at)
{
	struct ednentry *entry = &map->entries[at];
	struct ednmap *child = __atomic_load_n(&entry->child, __ATOMIC_ACQUIRE);

	if (child)
		return child;
	child = malloc(sizeof(*child));
	if (!child)
		return NULL;
	if (ednmap_read(child, map->pool, slice_of(entry->value, entry->value_len), map->depth + 1,
		    NULL)) {
		free(child);
		return NULL;
	}
	__atomic_store_n(&entry->child, child, __ATOMIC_RELEASE);
	return child;
}

int ednmap_value(const struct ednmap *map, uint32_t at, struct slice *text)
{
	const struct ednentry *entry = &map->entries[at];
	struct ednmap *child = entry->child;

	*text = slice_of(entry->value, entry->value_len);
	if (!child || !child->edited)
		return 0;
	if (!child->flat)
		child->flat = ednmap_flatten(child);
	if (!child->flat)
		return -ENOMEM;
	*text = slice_of(child->flat->bytes, child->flat->size);
	return 0;
}
