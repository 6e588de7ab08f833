/* SPDX-License-Identifier: MIT */
#include "lock_table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "hash.h"

struct lock_file {
	struct lock_file *next; /* in the bucket */
	uint64_t ino;
	struct lock_range *ranges[LOCK_KINDS];
};

static size_t bucket_of(uint64_t ino)
{
	return hash64(&ino, sizeof(ino), 0) % LOCK_TABLE_BUCKETS;
}

static struct lock_file *find_file(const struct lock_table *table, uint64_t ino)
{
	struct lock_file *file = table->buckets[bucket_of(ino)];

	while (file && file->ino != ino)
		file = file->next;
	return file;
}

static struct lock_file *make_file(struct lock_table *table, uint64_t ino)
{
	struct lock_file **bucket = &table->buckets[bucket_of(ino)];
	struct lock_file *file = find_file(table, ino);

	if (file)
		return file;
	file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	file->ino = ino;
	file->next = *bucket;
	*bucket = file;
	return file;
}

/* A file without locks is not kept. */
static void tidy_file(struct lock_table *table, struct lock_file *file)
{
	struct lock_file **link = &table->buckets[bucket_of(file->ino)];

	if (file->ranges[LOCK_FCNTL] || file->ranges[LOCK_FLOCK])
		return;
	while (*link != file)
		link = &(*link)->next;
	*link = file->next;
	free(file);
}

static void remove_range(struct lock_table *table, struct lock_range **link)
{
	struct lock_range *range = *link;

	*link = range->next;
	free(range);
	table->ranges--;
}

void lock_table_release(struct lock_table *table)
{
	for (size_t i = 0; i < LOCK_TABLE_BUCKETS; i++) {
		while (table->buckets[i]) {
			struct lock_file *file = table->buckets[i];
			for (int kind = 0; kind < LOCK_KINDS; kind++)
				while (file->ranges[kind])
					remove_range(table, &file->ranges[kind]);
			tidy_file(table, file);
		}
	}
}

static bool overlap(const struct lock_range *a, const struct lock_range *b)
{
	return a->start <= b->end && b->start <= a->end;
}

/* Does b begin right behind a, or a behind b? */
static bool touch(const struct lock_range *a, const struct lock_range *b)
{
	return (a->end != INT64_MAX && a->end + 1 == b->start) ||
	       (b->end != INT64_MAX && b->end + 1 == a->start);
}

const struct lock_range *lock_table_conflict(const struct lock_table *table,
	const struct lock_want *want, const struct lock_range *after)
{
	const struct lock_file *file = after ? NULL : find_file(table, want->ino);
	const struct lock_range *range = after ? after->next : NULL;

	if (file)
		range = file->ranges[want->kind];
	for (; range; range = range->next)
		if (range->owner != want->range.owner && overlap(range, &want->range) &&
			(range->type == F_WRLCK || want->range.type == F_WRLCK))
			return range;
	return NULL;
}

const struct lock_range *lock_table_own(const struct lock_table *table,
	const struct lock_want *want)
{
	const struct lock_file *file = find_file(table, want->ino);
	const struct lock_range *range = file ? file->ranges[want->kind] : NULL;

	while (range && (range->owner != want->range.owner || range->start > want->range.start ||
				range->end < want->range.start))
		range = range->next;
	return range;
}

/*
 * Takes [cut->start, cut->end] out of the range at *link; *spare is used up where two pieces are
 * left. Returns the link behind the pieces.
 */
static struct lock_range **cut_range(struct lock_table *table, struct lock_range **link,
	const struct lock_range *cut, struct lock_range **spare)
{
	struct lock_range *range = *link;
	bool left = range->start < cut->start;
	bool right = range->end > cut->end;

	if (!left && !right) {
		remove_range(table, link);
		return link;
	}
	if (left && right) {
		struct lock_range *rest = *spare;
		assert(rest); /* whoever may split a range has brought a spare one */
		*spare = NULL;
		*rest = *range;
		rest->start = cut->end + 1;
		range->end = cut->start - 1;
		range->next = rest;
		table->ranges++;
		return &rest->next;
	}
	if (left)
		range->end = cut->start - 1;
	else
		range->start = cut->end + 1;
	return &range->next;
}

/*
 * Makes room for made among its owner's ranges: what is of its type and handle is taken into it,
 * what is not is cut. One pass does, as the owner's ranges do not overlap, and do not touch where
 * they are the same.
 */
static void merge_ranges(struct lock_table *table, struct lock_range **link,
	struct lock_range *made, struct lock_range **spare, bool *loosened)
{
	const struct lock_range asked = *made;

	while (*link) {
		struct lock_range *range = *link;
		bool same = range->type == asked.type && range->handle == asked.handle;
		if (range->owner != asked.owner ||
			!(overlap(range, &asked) || (same && touch(range, &asked)))) {
			link = &range->next;
		} else if (same) {
			made->start = range->start < made->start ? range->start : made->start;
			made->end = range->end > made->end ? range->end : made->end;
			remove_range(table, link);
		} else {
			*loosened = true;
			link = cut_range(table, link, &asked, spare);
		}
	}
}

/* Would taking want's range away leave a piece on both sides? */
static bool splits(const struct lock_table *table, const struct lock_want *want)
{
	const struct lock_range *own = lock_table_own(table, want);

	return own && own->start < want->range.start && own->end > want->range.end;
}

/* An unlock that leaves one piece or none needs no memory and no room: it can't fail. */
static int unlock_range(struct lock_table *table, const struct lock_want *want, bool *loosened)
{
	struct lock_file *file = find_file(table, want->ino);
	struct lock_range asked = want->range;
	struct lock_range *spare = NULL;

	if (!file)
		return 0;
	if (splits(table, want)) {
		spare = table->ranges < LOCK_TABLE_MOST ? malloc(sizeof(*spare)) : NULL;
		if (!spare)
			return -ENOLCK;
	}
	merge_ranges(table, &file->ranges[want->kind], &asked, &spare, loosened);
	tidy_file(table, file);
	free(spare);
	return 0;
}

int lock_table_set(struct lock_table *table, const struct lock_want *want, bool *loosened)
{
	struct lock_range *made;
	struct lock_range *spare;
	struct lock_file *file;
	int ret = -ENOLCK;

	if (want->range.type == F_UNLCK)
		return unlock_range(table, want, loosened);
	made = malloc(sizeof(*made));
	spare = malloc(sizeof(*spare));
	file = make_file(table, want->ino);
	if (made && spare && file && table->ranges + 2 <= LOCK_TABLE_MOST) {
		*made = want->range;
		merge_ranges(table, &file->ranges[want->kind], made, &spare, loosened);
		made->next = file->ranges[want->kind];
		file->ranges[want->kind] = made;
		table->ranges++;
		made = NULL;
		ret = 0;
	}
	if (file)
		tidy_file(table, file);
	free(spare);
	free(made);
	return ret;
}

static bool drop_ranges(struct lock_table *table, struct lock_range **link, const uint64_t *owner,
	const uint64_t *handle)
{
	bool any = false;

	while (*link) {
		if (owner ? (*link)->owner == *owner : (*link)->handle == *handle) {
			remove_range(table, link);
			any = true;
		} else {
			link = &(*link)->next;
		}
	}
	return any;
}

bool lock_table_drop(struct lock_table *table, enum lock_kind kind, uint64_t ino, uint64_t owner)
{
	struct lock_file *file = find_file(table, ino);
	bool any;

	if (!file)
		return false;
	any = drop_ranges(table, &file->ranges[kind], &owner, NULL);
	tidy_file(table, file);
	return any;
}

bool lock_table_drop_handle(struct lock_table *table, uint64_t ino, uint64_t handle)
{
	struct lock_file *file = find_file(table, ino);
	bool any = false;

	if (!file)
		return false;
	for (int kind = 0; kind < LOCK_KINDS; kind++)
		any |= drop_ranges(table, &file->ranges[kind], NULL, &handle);
	tidy_file(table, file);
	return any;
}
