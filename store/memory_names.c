/* SPDX-License-Identifier: MIT */
#include "memory_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add_name(struct names *names, struct slice name)
{
	if (names->count == names->cap) {
		size_t cap = names->cap ? names->cap * 2 : 1024;
		size_t *at = reallocarray(names->at, cap, sizeof(*at));

		if (!at)
			return -ENOMEM;
		names->at = at;
		names->cap = cap;
	}
	names->at[names->count++] = names->text.len;
	buf_add(&names->text, &name.len, sizeof(name.len));
	buf_add_slice(&names->text, name);
	return buf_error(&names->text);
}

struct slice names_at(const struct names *names, size_t i)
{
	const char *from = names->text.ptr + names->at[i];
	size_t len;

	memcpy(&len, from, sizeof(len));
	return slice_of(from + sizeof(len), len);
}

static int compare_names(const void *a, const void *b, void *text)
{
	struct names names = {.text = *(const struct buf *)text,
		.at = (size_t[2]){*(const size_t *)a, *(const size_t *)b}};
	struct slice x = names_at(&names, 0);
	struct slice y = names_at(&names, 1);
	int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);

	return order ? order : (x.len > y.len) - (x.len < y.len);
}

static void sort_names(struct names *names)
{
	size_t kept = 0;

	if (names->count)
		qsort_r(names->at, names->count, sizeof(*names->at), compare_names, &names->text);
	for (size_t i = 0; i < names->count; i++) {
		if (!kept || !slice_equal(names_at(names, i), names_at(names, kept - 1)))
			names->at[kept++] = names->at[i];
	}
	names->count = kept;
}

struct gather {
	struct memory *m;
	struct names *names;
	struct slice key;
};

static int gather_one(struct gather *gather, struct entity_id id)
{
	struct buf name = BUF_INIT;
	int ret;

	entity_id_name(&name, id);
	ret = buf_error(&name);
	if (!ret && !table_get(&gather->m->ghosts, buf_slice(&name)))
		ret = add_name(gather->names, buf_slice(&name));
	buf_release(&name);
	return ret;
}

static int gather_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct gather *gather = context;

	(void)item;
	return gather_one(gather, (struct entity_id){gather->key, member});
}

static int gather_key(void *context, struct slice key, const struct ednfile_item *item)
{
	struct gather *gather = context;
	int ret = gather_one(gather, (struct entity_id){.key = key});

	(void)item;
	gather->key = key;
	if (ret || !ednfile_is_collection(gather->m->file, key))
		return ret;
	return ednfile_each_member(gather->m->file, key, gather_member, gather);
}

static int gather_eav(void *context, struct slice name, const struct eav_record *record)
{
	struct gather *gather = context;

	/* a header that is damaged: whether it is one of ours the file says */
	return record ? add_name(gather->names, name) : 0;
}

int names_gather(struct names *names, struct memory *m)
{
	struct gather gather = {.m = m, .names = names};
	struct eav_reader reader;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = ednfile_each(m->file, gather_key, &gather);
	if (!ret)
		ret = eav_read_begin(m->eav.store, &reader);
	if (!ret) {
		ret = eav_each(&reader, slice_of("", 0), gather_eav, &gather);
		eav_read_end(&reader);
	}
	pthread_rwlock_unlock(&m->lock);
	sort_names(names);
	return ret;
}

void names_release(struct names *names)
{
	buf_release(&names->text);
	free(names->at);
	*names = (struct names){0};
}
