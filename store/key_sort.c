/* SPDX-License-Identifier: MIT */
#include "key_sort.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 16, WINDOW = 8, TRIES = 64, TRIES_PER_BIT = 2 };

struct keys {
	key_sort_fn *key_of;
	const void *rows;
};

/* Of the key from depth on, as a number that is ordered alike. */
static uint64_t window_at(const struct keys *keys, uint32_t row, size_t depth)
{
	struct slice key = keys->key_of(keys->rows, row);
	unsigned char bytes[WINDOW] = {0};
	size_t left = key.len > depth ? key.len - depth : 0;
	uint64_t window;

	if (left)
		memcpy(bytes, key.ptr + depth, left < WINDOW ? left : WINDOW);
	memcpy(&window, bytes, sizeof(window));
	return be64toh(window);
}

static int compare(const void *a, const void *b, void *context)
{
	const struct keys *keys = context;
	uint32_t x = ((const struct key_sorted *)a)->row;
	uint32_t y = ((const struct key_sorted *)b)->row;
	int order = slice_compare(keys->key_of(keys->rows, x), keys->key_of(keys->rows, y));

	return order ? order : (x > y) - (x < y);
}

static void sort_few(struct keys *keys, struct key_sorted *list, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct key_sorted one = list[i];
		size_t at = i;

		for (; at && (one.window < list[at - 1].window ||
				     (one.window == list[at - 1].window &&
					     compare(&one, &list[at - 1], keys) < 0));
			at--)
			list[at] = list[at - 1];
		list[at] = one;
	}
}

static uint64_t middle_of_three(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t low = a < b ? a : b;
	uint64_t high = a < b ? b : a;

	return c < low ? low : c > high ? high : c;
}

/* Three parts by their windows: below the pivot, equal to it from *low on, above it from *high on. */
static void split(struct key_sorted *list, size_t count, size_t *low, size_t *high)
{
	uint64_t pivot =
		middle_of_three(list[0].window, list[count / 2].window, list[count - 1].window);
	size_t at = 0;

	*low = 0;
	*high = count;
	while (at < *high) {
		struct key_sorted one = list[at];

		if (one.window < pivot) {
			list[at++] = list[*low];
			list[(*low)++] = one;
		} else if (one.window > pivot) {
			list[at] = list[--*high];
			list[*high] = one;
		} else {
			at++;
		}
	}
}

/*
 * Of keys that are equal up to the window's end: the next windows. A key's end looks like a zero byte; where all end at one
 * place they are equal, and what is left to be sorted is their rows. False: they differ in where they end.
 */
static bool next_windows(const struct keys *keys, struct key_sorted *list, size_t count,
	size_t *depth)
{
	size_t least = SIZE_MAX, most = 0;

	for (size_t i = 0; i < count; i++) {
		size_t len = keys->key_of(keys->rows, list[i].row).len;

		least = len < least ? len : least;
		most = len > most ? len : most;
	}
	*depth += WINDOW;
	if (least <= *depth && least != most)
		return false;
	for (size_t i = 0; i < count; i++)
		list[i].window =
			least <= *depth ? list[i].row : window_at(keys, list[i].row, *depth);
	return true;
}

/* Keys that have all before depth in common. Of those that are made to be slow, qsort_r takes what is left. */
static void sort(struct keys *keys, struct key_sorted *list, size_t count, size_t depth,
	unsigned tries)
{
	while (count > FEW) {
		size_t low, high;

		if (!tries--) {
			qsort_r(list, count, sizeof(*list), compare, keys);
			return;
		}
		split(list, count, &low, &high);
		sort(keys, list, low, depth, tries);
		sort(keys, list + high, count - high, depth, tries);
		list += low;
		count = high - low;
		if (count > 1 && !next_windows(keys, list, count, &depth)) {
			qsort_r(list, count, sizeof(*list), compare, keys);
			return;
		}
	}
	sort_few(keys, list, count);
}

void key_sort(struct key_sorted *list, size_t count, key_sort_fn *key_of, const void *rows)
{
	struct keys keys = {key_of, rows};
	unsigned tries = TRIES;

	for (size_t left = count; left; left /= 2)
		tries += TRIES_PER_BIT;
	for (size_t i = 0; i < count; i++)
		list[i].window = window_at(&keys, list[i].row, 0);
	sort(&keys, list, count, 0, tries);
}
