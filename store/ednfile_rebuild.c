/* SPDX-License-Identifier: MIT */
#include "ednfile_map.h"

#include <errno.h>
#include <stdlib.h>

#include "huge.h"

/*
 * Copies piece after piece to where the new image grows. The places of the new entries are noted on
 * the way, so that nothing has to be read again.
 */
struct copying {
	struct ednblock *block;
	size_t at;
	size_t head_len;
	struct slice before; /* the last piece, where it was */
	enum ednpiece last;
};

static void copy(struct copying *copying, enum ednpiece kind, struct slice text)
{
	if (!text.len)
		return;
	if (ednpieces_need_space(copying->last, copying->before, text))
		copying->block->bytes[copying->at++] = ' ';
	memcpy(copying->block->bytes + copying->at, text.ptr, text.len);
	copying->at += text.len;
	copying->before = text;
	copying->last = kind;
}

static void copy_value(struct copying *copying, struct ednentry *entry, struct ednentry *fresh)
{
	struct slice text = slice_of(entry->value, entry->value_len);
	size_t start = copying->at;

	if (entry->child && entry->child->edited)
		text = slice_of(entry->child->flat->bytes, entry->child->flat->size);
	copy(copying, EDNPIECE_FORM, text);
	/* A space that was needed belongs in front of the value. */
	fresh->mid_len += (uint32_t)(copying->at - start - text.len);
	fresh->value = copying->block->bytes + copying->at - text.len;
	fresh->value_len = (uint32_t)text.len;
}

static int copy_entry(struct copying *copying, const struct ednmap *map, struct ednentry *entry,
	struct ednentry *fresh, bool open_up)
{
	struct buf full = BUF_INIT;
	struct slice text = ednentry_key_and_mid(entry);
	size_t start = copying->at;
	int ret = 0;

	*fresh = *entry;
	fresh->owns = 0;
	fresh->child = NULL;
	fresh->gap = copying->block->bytes + start;
	if (open_up) {
		ret = ednkey_expand(map->pool, map->prefix, ednentry_key(entry), &full);
		if (ret)
			goto out;
		fresh->key_len = (uint32_t)full.len;
		buf_add_slice(&full, ednentry_mid(entry));
		ret = buf_error(&full);
		if (ret)
			goto out;
		text = buf_slice(&full);
	}
	copy(copying, EDNPIECE_GAP, ednentry_gap(entry));
	copy(copying, ednentry_key_piece(entry), text);
	if (open_up)
		copying->before = ednentry_key_and_mid(entry); /* full goes */
	fresh->gap_len = (uint32_t)(copying->at - start - text.len);
	fresh->key = copying->block->bytes + copying->at - text.len;
	copy_value(copying, entry, fresh);
out:
	buf_release(&full);
	return ret;
}

/* Without the "#:ns", and the blanks that may stand between it and the '{'. */
static void copy_head(struct copying *copying, const struct ednmap *map, bool open_up)
{
	if (open_up) {
		size_t before = (size_t)(map->prefix.ptr - 2 - map->head.ptr);

		copy(copying, EDNPIECE_GAP, slice_of(map->head.ptr, before));
		copy(copying, EDNPIECE_OPEN, SLICE_LITERAL("{"));
	} else {
		copy(copying, EDNPIECE_OPEN, map->head);
	}
	copying->last = EDNPIECE_OPEN;
	copying->head_len = copying->at;
}

static int copy_map(struct copying *copying, struct ednmap *map, struct ednentry *fresh,
	bool open_up)
{
	size_t start;

	copy_head(copying, map, open_up);
	for (uint32_t at = map->entries[0].next; at; at = map->entries[at].next) {
		int ret = copy_entry(copying, map, &map->entries[at], &fresh[at], open_up);

		if (ret)
			return ret;
	}
	start = copying->at;
	copy(copying, EDNPIECE_GAP, ednentry_gap(&map->entries[0]));
	fresh[0] = map->entries[0];
	fresh[0].owns = 0;
	fresh[0].gap = copying->block->bytes + start;
	fresh[0].gap_len = (uint32_t)(copying->at - start);
	return 0;
}

/* Puts the fresh entries in the place of the old ones, which give up what they own. */
static void adopt(struct ednmap *map, struct ednentry *fresh, struct copying *copying)
{
	size_t foot = copying->at;

	copy(copying, EDNPIECE_FORM, map->foot);
	map->head = slice_of(copying->block->bytes, copying->head_len);
	map->foot = slice_of(copying->block->bytes + foot, copying->at - foot);
	for (uint32_t at = 0; at < map->used; at++)
		ednentry_drop(map, &map->entries[at]);
	huge_free(map->entries, map->cap * sizeof(*map->entries));
	map->entries = fresh;
	map->cap = map->used;
	ednblock_drop(map->pool, map->image);
	map->image = copying->block;
	ednblock_trim(map->pool, map->image, copying->at);
}

/* The new text's length at most; texts of edited children are put together on the way. */
static int measure(struct ednmap *map, bool open_up, uint64_t *most)
{
	struct ednpieces pieces;
	struct slice text;
	int ret = ednpieces_of_map(&pieces, map);

	if (ret)
		return ret;
	*most = pieces.bytes;
	ednpieces_release(&pieces);
	*most += (uint64_t)map->count * (3 + (open_up ? map->prefix.len + 1 : 0)) + 16;
	for (uint32_t at = map->entries[0].next; at && !ret; at = map->entries[at].next)
		if (map->entries[at].child && map->entries[at].child->edited)
			ret = ednmap_value(map, at, &text);
	return *most > UINT32_MAX ? -EOVERFLOW : ret;
}

/* Keywords that were spelled with the prefix's help now are what they say. */
static void set_key_kinds(struct ednmap *map)
{
	for (uint32_t at = map->entries[0].next; at; at = map->entries[at].next)
		if (map->entries[at].key[0] == ':')
			map->entries[at].key_kind = EDNKEY_PLAIN;
}

int ednmap_rebuild(struct ednmap *map, bool open_up)
{
	struct copying copying = {.last = EDNPIECE_OPEN};
	struct ednentry *fresh;
	uint64_t most;
	size_t prefix;
	int ret = measure(map, open_up, &most);

	if (ret)
		return ret;
	fresh = huge_alloc(map->used * sizeof(*fresh));
	copying.block = ednblock_new(map->pool, most);
	ret = fresh && copying.block ? 0 : -ENOMEM;
	if (!ret) {
		memcpy(fresh, map->entries, map->used * sizeof(*fresh));
		ret = copy_map(&copying, map, fresh, open_up);
	}
	if (ret) {
		ednblock_drop(map->pool, copying.block);
		huge_free(fresh, map->used * sizeof(*fresh));
		return ret;
	}
	prefix = map->prefix.len ? (size_t)(map->prefix.ptr - map->head.ptr) : 0;
	adopt(map, fresh, &copying);
	if (open_up) {
		map->prefix = slice_of(NULL, 0);
		set_key_kinds(map);
	} else if (map->prefix.len) {
		map->prefix.ptr = map->head.ptr + prefix;
	}
	return 0;
}
