/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_KEY_SORT_H
#define OUROFS_KEY_SORT_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/*
 * Sorts many keys, byte by byte as LMDB does: those of one attribute, or below one key, have long beginnings in common,
 * so 8 bytes of each are compared at once.
 *
 *	list[i].row = ...			// numbers of the caller's rows, each once
 *	key_sort(list, count, key_of, rows);
 */
struct key_sorted {
	uint64_t window; /* key_sort's own; behind that the caller's */
	uint32_t row;
	uint32_t tag; /* the caller's own */
};
typedef struct slice key_sort_fn(const void *rows, uint32_t row);

/* Rows of equal keys come in the order of their numbers. */
void key_sort(struct key_sorted *list, size_t count, key_sort_fn *key_of, const void *rows);

#endif
