/* SPDX-License-Identifier: MIT */
#include "ednfile_map.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

/* Ends any token in front of it. */
static bool is_terminator(char c)
{
	return (c && strchr(" \t\n\v\f\r,\"();[]{}^\\", c)) || (c >= 0x1c && c <= 0x1f);
}

static bool is_blank(char c)
{
	return (c && strchr(" \t\n\v\f\r,", c)) || (c >= 0x1c && c <= 0x1f);
}

bool ednpieces_need_space(enum ednpiece last, struct slice before, struct slice next)
{
	const char *end = before.len ? before.ptr + before.len : NULL;
	bool escaped;

	if (!end || end == next.ptr || last == EDNPIECE_OPEN || is_terminator(next.ptr[0]))
		return false;
	escaped = before.len > 1 && end[-2] == '\\';
	if (last == EDNPIECE_FORM)
		return !strchr(")]}\"", end[-1]) || !end[-1] || escaped; /* "\\)" may go on */
	/* A blank may be what a backslash names: #_\ x */
	return !is_blank(end[-1]) || escaped;
}

static void push(struct ednpieces *pieces, struct slice text)
{
	struct iovec *last = pieces->count ? &pieces->iov[pieces->count - 1] : NULL;
	struct iovec *grown;
	size_t cap;

	pieces->bytes += text.len;
	if (last && (const char *)last->iov_base + last->iov_len == text.ptr) {
		last->iov_len += text.len;
		return;
	}
	if (pieces->count == pieces->cap) {
		cap = pieces->cap ? pieces->cap * 2 : 16;
		grown = realloc(pieces->iov, cap * sizeof(*grown));
		if (!grown) {
			pieces->failed = true;
			return;
		}
		pieces->iov = grown;
		pieces->cap = cap;
	}
	pieces->iov[pieces->count++] = (struct iovec){(void *)text.ptr, text.len};
}

/* Returns where it begins, behind the space that it may need. */
static uint64_t add(struct ednpieces *pieces, enum ednpiece kind, struct slice text)
{
	struct slice before = slice_of(NULL, 0);

	if (!text.len || pieces->failed)
		return pieces->bytes;
	if (pieces->count) {
		struct iovec *last = &pieces->iov[pieces->count - 1];

		before = slice_of(last->iov_base, last->iov_len);
	}
	if (ednpieces_need_space(pieces->last, before, text))
		push(pieces, SLICE_LITERAL(" "));
	push(pieces, text);
	pieces->last = kind;
	return pieces->bytes - text.len;
}

static uint64_t add_map(struct ednpieces *pieces, const struct ednmap *map,
	struct ednplace *places);

static uint64_t add_value(struct ednpieces *pieces, const struct ednentry *entry)
{
	if (entry->child && entry->child->edited)
		return add_map(pieces, entry->child, NULL);
	return add(pieces, EDNPIECE_FORM, slice_of(entry->value, entry->value_len));
}

/* One level down at most: a child's values have no children. */
static uint64_t add_map(struct ednpieces *pieces, const struct ednmap *map, struct ednplace *places)
{
	uint64_t start = add(pieces, EDNPIECE_OPEN, map->head);

	pieces->last = EDNPIECE_OPEN;
	for (uint32_t at = map->entries[0].next; at; at = map->entries[at].next) {
		const struct ednentry *entry = &map->entries[at];

		uint64_t key, value;

		add(pieces, EDNPIECE_GAP, ednentry_gap(entry));
		key = add(pieces, ednentry_key_piece(entry), ednentry_key_and_mid(entry));
		value = add_value(pieces, entry);
		if (places)
			*places++ = (struct ednplace){
				(uint32_t)key, (uint32_t)value, (uint32_t)pieces->bytes};
	}
	add(pieces, EDNPIECE_GAP, ednentry_gap(&map->entries[0]));
	add(pieces, EDNPIECE_FORM, map->foot);
	return start;
}

int ednpieces_of_map(struct ednpieces *pieces, const struct ednmap *map)
{
	return ednpieces_with_places(pieces, map, NULL);
}

int ednpieces_with_places(struct ednpieces *pieces, const struct ednmap *map,
	struct ednplace *places)
{
	*pieces = (struct ednpieces){.last = EDNPIECE_OPEN};
	add_map(pieces, map, places);
	if (pieces->failed)
		ednpieces_release(pieces);
	else
		return 0;
	return -ENOMEM;
}

void ednpieces_release(struct ednpieces *pieces)
{
	free(pieces->iov);
	*pieces = (struct ednpieces){.iov = NULL};
}

struct ednblock *ednmap_flatten(const struct ednmap *map)
{
	struct ednpieces pieces;
	struct ednblock *block = NULL;
	size_t at = 0;

	if (ednpieces_of_map(&pieces, map))
		return NULL;
	block = ednblock_new(map->pool, pieces.bytes);
	for (size_t i = 0; block && i < pieces.count; i++) {
		memcpy(block->bytes + at, pieces.iov[i].iov_base, pieces.iov[i].iov_len);
		at += pieces.iov[i].iov_len;
	}
	ednpieces_release(&pieces);
	return block;
}
