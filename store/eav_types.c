/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>
#include <stdlib.h>

/* Lists, as a store has a few dozen types. */
static struct eav_type_count *find(struct eav_types *types, struct slice type)
{
	for (size_t i = 0; i < types->count; i++)
		if (slice_equal(types->list[i].type, type))
			return &types->list[i];
	return NULL;
}

static struct eav_type_count *append(struct eav_types *types, struct slice type)
{
	char *text = arena_copy(&types->arena, type.ptr, type.len);

	if (!text)
		return NULL;
	if (types->count == types->cap) {
		size_t cap = types->cap ? types->cap * 2 : 32;
		struct eav_type_count *list = reallocarray(types->list, cap, sizeof(*list));

		if (!list)
			return NULL;
		types->list = list;
		types->cap = cap;
	}
	types->list[types->count] = (struct eav_type_count){slice_of(text, type.len), 0};
	return &types->list[types->count++];
}

static int add(struct eav_types *types, struct slice type, int64_t documents)
{
	struct eav_type_count *row = find(types, type);

	if (!row)
		row = append(types, type);
	if (!row)
		return -ENOMEM;
	row->documents += documents;
	return 0;
}

int eav_types_add(struct eav_types *types, const struct eav_record *record, int documents)
{
	return record->collection || record->deleted ? 0 : add(types, record->type, documents);
}

void eav_types_release(struct eav_types *types)
{
	arena_release(&types->arena);
	free(types->list);
	*types = (struct eav_types){0};
}

/* ---- those of the store ---- */

static int count_one(void *context, struct slice name, const struct eav_record *record)
{
	(void)name;
	return record ? eav_types_add(context, record, 1) : 0;
}

/* With types_lock held. */
static int count_all(struct eav *eav)
{
	struct eav_reader reader;
	int ret = eav_read_begin(eav, &reader);

	eav_types_release(&eav->types);
	eav->types_from = reader.txn ? mdb_txn_id(reader.txn) : 0;
	if (!ret)
		ret = eav_each(&reader, slice_of(NULL, 0), count_one, &eav->types);
	eav_read_end(&reader);
	eav->types_known = !ret;
	return ret;
}

int eav_each_type(struct eav *eav, eav_type_fn *fn, void *context)
{
	int ret;

	pthread_mutex_lock(&eav->types_lock);
	ret = eav->types_known ? 0 : count_all(eav);
	for (size_t i = 0; i < eav->types.count && !ret; i++) {
		const struct eav_type_count *row = &eav->types.list[i];

		if (row->documents > 0)
			ret = fn(context, row->type, (uint64_t)row->documents);
	}
	pthread_mutex_unlock(&eav->types_lock);
	return ret;
}

void eav_types_written(struct eav *eav, const struct eav_types *more, uint64_t transaction)
{
	pthread_mutex_lock(&eav->types_lock);
	/* who counted may have seen this transaction already, whoever comes here first */
	for (size_t i = 0; eav->types_known && transaction > eav->types_from && i < more->count;
		i++)
		eav->types_known = !add(&eav->types, more->list[i].type, more->list[i].documents);
	pthread_mutex_unlock(&eav->types_lock);
}

void eav_types_forget(struct eav *eav)
{
	pthread_mutex_lock(&eav->types_lock);
	eav->types_known = false;
	pthread_mutex_unlock(&eav->types_lock);
}
