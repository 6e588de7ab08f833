/* SPDX-License-Identifier: MIT */
#include "ednfile_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "buf.h"
#include "huge.h"
#include "pread_all.h"
#include "write_all.h"

/* FORMAT is another whenever the scan says something else of a text, or hashes keys in another way. */
enum { FORMAT = 3, UNREADABLE = 1 };

static const char NAME[] = "edn.index";
static const char NAME_NEW[] = "edn.index.new";
static const char MAGIC[8] = "ourofsIX";

/* On disk, as it is on this machine. */
struct header {
	char magic[8];
	uint64_t check; /* hash64 of what is behind it */
	uint32_t format;
	uint32_t max_depth;
	uint64_t size;       /* of the text */
	uint64_t mark_seed;  /* of mark */
	uint64_t mark;       /* of the text */
	uint64_t key_seed;   /* of the keys' hashes */
	struct hash128 hash; /* of the text */
	uint32_t head_len, prefix_at, prefix_len, last_gap_len, foot_len;
	uint32_t count; /* of struct row */
};

struct row {
	uint32_t gap_len, key_len, mid_len, value_len;
	uint32_t hash;
	uint8_t type, key_kind, flags, zero;
};

_Static_assert(sizeof(struct header) == 96 && sizeof(struct row) == 24, "no padding");

struct ednindex {
	struct header header;
	struct row rows[];
};

enum { CHECKED_FROM = offsetof(struct header, format) };

static size_t size_with(uint64_t rows)
{
	return sizeof(struct ednindex) + rows * sizeof(struct row);
}

static uint64_t check_of(const struct ednindex *index, size_t size)
{
	return hash64((const char *)index + CHECKED_FROM, size - CHECKED_FROM, 0);
}

/* ---- reading ---- */

static bool is_usable(const struct header *header, uint64_t size)
{
	return memcmp(header->magic, MAGIC, sizeof(MAGIC)) == 0 && header->format == FORMAT &&
	       header->size == size;
}

static struct ednindex *load(int fd, uint64_t text_size)
{
	struct ednindex *index;
	struct header header;
	struct stat st;
	size_t size, rest;

	if (pread_all(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
		!is_usable(&header, text_size))
		return NULL;
	size = size_with(header.count);
	/* a damaged count is not to be believed before there is memory for it */
	if (fstat(fd, &st) || (uint64_t)st.st_size != size)
		return NULL;
	index = huge_alloc(size);
	if (!index)
		return NULL;
	index->header = header;
	rest = size - sizeof(header);
	if (pread_all(fd, (char *)index + sizeof(header), rest, sizeof(header)) == (ssize_t)rest &&
		check_of(index, size) == header.check)
		return index;
	huge_free(index, size);
	return NULL;
}

struct ednindex *ednindex_load(int dir_fd, uint64_t size)
{
	struct ednindex *index;
	int fd = size < EDNINDEX_FROM_BYTES
			 ? -1
			 : openat(dir_fd, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return NULL;
	index = load(fd, size);
	close(fd);
	return index;
}

void ednindex_free(struct ednindex *index)
{
	if (index)
		huge_free(index, size_with(index->header.count));
}

struct hash128 ednindex_text_hash(const struct ednindex *index)
{
	return index->header.hash;
}

uint64_t ednindex_mark(const struct ednindex *index)
{
	return index->header.mark_seed;
}

uint64_t ednindex_hash(uint64_t mark, const char *block, size_t len)
{
	return hash64(block, len, mark);
}

bool ednindex_is_of(const struct ednindex *index, uint64_t mark)
{
	return index->header.mark == mark;
}

static void read_row(struct ednentry *entry, const struct row *row, const char *at)
{
	*entry = (struct ednentry){
		.gap = at,
		.gap_len = row->gap_len,
		.key = at + row->gap_len,
		.key_len = row->key_len,
		.mid_len = row->mid_len,
		.value = at + row->gap_len + row->key_len + row->mid_len,
		.value_len = row->value_len,
		.hash = row->hash,
		.type = row->type,
		.key_kind = row->key_kind,
		.unreadable = row->flags & UNREADABLE,
	};
}

static uint64_t length_of(const struct row *row)
{
	return (uint64_t)row->gap_len + row->key_len + row->mid_len + row->value_len;
}

static bool fits(const struct ednindex *index, const struct ednpool *pool, struct slice text)
{
	const struct header *h = &index->header;
	uint64_t size = (uint64_t)h->head_len + h->last_gap_len + h->foot_len;

	for (uint32_t i = 0; i < h->count; i++)
		size += length_of(&index->rows[i]);
	return size == text.len && h->max_depth == pool->max_depth && h->head_len && h->foot_len &&
	       (uint64_t)h->prefix_at + h->prefix_len <= h->head_len;
}

int ednindex_read(const struct ednindex *index, struct ednmap *map, struct ednpool *pool,
	struct slice text)
{
	const struct header *h = &index->header;
	const char *at = text.ptr + h->head_len;
	int ret;

	if (!fits(index, pool, text))
		return -EBADMSG;
	*map = (struct ednmap){.pool = pool};
	ret = ednmap_reserve_entries(map, h->count + 1);
	if (ret)
		return ret;
	pool->seed = h->key_seed;
	map->head = slice_of(text.ptr, h->head_len);
	map->prefix = slice_of(h->prefix_len ? text.ptr + h->prefix_at : NULL, h->prefix_len);
	map->foot = slice_of(text.ptr + text.len - h->foot_len, h->foot_len);
	map->entries[map->used++] = (struct ednentry){.gap_len = h->last_gap_len};
	for (uint32_t i = 0; i < h->count; i++) {
		read_row(&map->entries[map->used], &index->rows[i], at);
		ednmap_link_last(map, map->used++);
		at += length_of(&index->rows[i]);
	}
	map->entries[0].gap = at;
	ret = ednmap_index_all(map);
	if (ret)
		ednmap_release(map);
	return ret;
}

/* ---- writing ---- */

/* One piece behind the other, in blocks of the text. */
static void hash_pieces(struct header *h, const struct ednpieces *pieces, char *block)
{
	struct hash_stream stream;
	size_t held = 0;

	h->mark = h->mark_seed;
	hash_stream_init(&stream);

	for (size_t i = 0; i < pieces->count; i++) {
		const char *at = pieces->iov[i].iov_base;
		size_t left = pieces->iov[i].iov_len;

		while (left) {
			size_t part = EDNINDEX_BLOCK - held < left ? EDNINDEX_BLOCK - held : left;

			memcpy(block + held, at, part);
			at += part;
			left -= part;
			held += part;
			if (held == EDNINDEX_BLOCK) {
				h->mark = ednindex_hash(h->mark, block, held);
				held = 0;
			}
		}
		hash_stream_add(&stream, pieces->iov[i].iov_base, pieces->iov[i].iov_len);
	}
	if (held)
		h->mark = ednindex_hash(h->mark, block, held);
	h->hash = hash_stream_end(&stream);
}

static void write_row(struct row *row, const struct ednentry *entry, const struct ednplace *place,
	uint32_t behind)
{
	*row = (struct row){
		.gap_len = place->key - behind,
		.key_len = entry->key_len,
		.mid_len = place->value - place->key - entry->key_len,
		.value_len = place->end - place->value,
		.hash = entry->hash,
		.type = entry->type,
		.key_kind = entry->key_kind,
		.flags = entry->unreadable ? UNREADABLE : 0,
	};
}

static void write_rows(struct ednindex *index, const struct ednmap *map,
	const struct ednplace *places)
{
	struct header *h = &index->header;
	uint32_t behind = h->head_len;
	uint32_t i = 0;

	for (uint32_t at = map->entries[0].next; at; at = map->entries[at].next, i++) {
		write_row(&index->rows[i], &map->entries[at], &places[i], behind);
		behind = places[i].end;
	}
	h->last_gap_len = (uint32_t)(h->size - h->foot_len) - behind;
}

static int make(const struct ednmap *map, struct ednindex *index, size_t size, char *block)
{
	size_t places_bytes = (map->count + (size_t)1) * sizeof(struct ednplace);
	struct ednplace *places = huge_alloc(places_bytes);
	struct header *h = &index->header;
	struct ednpieces pieces;
	int ret = places ? ednpieces_with_places(&pieces, map, places) : -ENOMEM;

	if (!ret &&
		getrandom(&h->mark_seed, sizeof(h->mark_seed), 0) != (ssize_t)sizeof(h->mark_seed))
		ret = -EAGAIN;
	if (!ret && (pieces.bytes < EDNINDEX_FROM_BYTES || pieces.bytes >= UINT32_MAX))
		ret = -ERANGE;
	if (!ret) {
		h->size = pieces.bytes;
		hash_pieces(h, &pieces, block);
		write_rows(index, map, places);
		h->check = check_of(index, size);
	}
	if (places)
		ednpieces_release(&pieces);
	huge_free(places, places_bytes);
	return ret;
}

static struct ednindex *new_index(const struct ednmap *map, size_t size)
{
	struct ednindex *index = huge_alloc(size);

	if (!index)
		return NULL;
	memcpy(index->header.magic, MAGIC, sizeof(MAGIC));
	index->header.format = FORMAT;
	index->header.max_depth = map->pool->max_depth;
	index->header.key_seed = map->pool->seed;
	index->header.head_len = (uint32_t)map->head.len;
	index->header.foot_len = (uint32_t)map->foot.len;
	index->header.prefix_len = (uint32_t)map->prefix.len;
	if (map->prefix.len)
		index->header.prefix_at = (uint32_t)(map->prefix.ptr - map->head.ptr);
	index->header.count = map->count;
	return index;
}

static int write_file(int dir_fd, const struct ednindex *index, size_t size)
{
	int fd = openat(dir_fd, NAME_NEW,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	int ret = fd < 0 ? -errno : write_all(fd, (const char *)index, size);

	if (fd >= 0)
		close(fd);
	return ret;
}

void ednindex_keep(const struct ednmap *map, int dir_fd)
{
	size_t size = size_with(map->count);
	struct ednindex *index = new_index(map, size);
	char *block = malloc(EDNINDEX_BLOCK);

	if (!index || !block || make(map, index, size, block) || write_file(dir_fd, index, size) ||
		renameat(dir_fd, NAME_NEW, dir_fd, NAME))
		unlinkat(dir_fd, NAME_NEW, 0);
	free(block);
	huge_free(index, size);
}
