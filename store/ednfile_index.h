/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDNFILE_INDEX_H
#define OUROFS_EDNFILE_INDEX_H

#include "ednfile_map.h"

/*
 * The index of a big memory.edn, kept from mount to mount as STORE/edn.index: where its entries stand, and what the
 * scan found out about them, so that a text that is as it was needs no other scan.
 *
 * It says which text it is of by the size and a hash with a seed that is in it alone, so that nobody who writes to
 * memory.edn can make another text of that hash. The text itself is read and hashed each time: no size, time or
 * inode number tells that its bytes are the same. It is a cache: it is not synced, and one that is torn, damaged, of
 * another format or another text is not used.
 *
 *	index = ednindex_load(dir_fd, size);		// NULL: none of a text of that size
 *	mark = ednindex_mark(index);
 *	mark = ednindex_hash(mark, block, len);		// EDNINDEX_BLOCK bytes each, the last one less
 *	if (ednindex_is_of(index, mark))
 *		ret = ednindex_read(index, map, pool, text);
 *	ednindex_free(index);
 */
enum { EDNINDEX_BLOCK = 1 << 20, EDNINDEX_FROM_BYTES = 4 << 20 };

struct ednindex;

struct ednindex *ednindex_load(int dir_fd, uint64_t size);
void ednindex_free(struct ednindex *index);
struct hash128 ednindex_text_hash(const struct ednindex
		*index); /* hash128 of the text that it is of */
uint64_t ednindex_mark(const struct ednindex *index);
uint64_t ednindex_hash(uint64_t mark, const char *block, size_t len);
bool ednindex_is_of(const struct ednindex *index, uint64_t mark);
/* As ednmap_read does for a file's map, without its checks. The pool gets the seed of the hashes. -EBADMSG, -ENOMEM. */
int ednindex_read(const struct ednindex *index, struct ednmap *map, struct ednpool *pool,
	struct slice text);
/* Keeps that of a file's map as it would be written now. Where that fails there is none. */
void ednindex_keep(const struct ednmap *map, int dir_fd);

#endif
