/* SPDX-License-Identifier: MIT */
#include "memory_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "key_sort.h"

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

bool names_in_edn(const struct names *names, size_t i)
{
	return names->at[i] < names->edn_len;
}

static struct slice name_of(const void *names, uint32_t row)
{
	return names_at(names, row);
}

/* Of equal ones, what was gathered first. */
static int sort_names(struct names *names)
{
	struct key_sorted *list = calloc(names->count + 1, sizeof(*list));
	size_t kept = 0;

	if (!list || names->count > UINT32_MAX) {
		free(list);
		return -ENOMEM;
	}
	for (size_t i = 0; i < names->count; i++)
		list[i].row = (uint32_t)i;
	key_sort(list, names->count, name_of, names);
	for (size_t i = 0; i < names->count; i++)
		list[i].window = names->at[list[i].row];
	for (size_t i = 0; i < names->count; i++)
		names->at[i] = list[i].window;
	free(list);
	for (size_t i = 0; i < names->count; i++) {
		if (!kept || !slice_equal(names_at(names, i), names_at(names, kept - 1)))
			names->at[kept++] = names->at[i];
	}
	names->count = kept;
	return 0;
}

enum { SLICE_NAMES = 4096 };

struct gather {
	struct memory *m;
	const struct ednfile *edn;
	const struct table *ghosts; /* of edn; NULL: it has none */
	struct names *names;
	struct slice key;
	struct buf last; /* of the EAV store's names: where the slice before ended */
	size_t left;     /* in this slice */
};

static int gather_one(struct gather *gather, struct entity_id id)
{
	struct buf name = BUF_INIT;
	bool ghost;
	int ret;

	entity_id_name(&name, id);
	ret = buf_error(&name);
	ghost = !ret && gather->ghosts && table_get(gather->ghosts, buf_slice(&name));
	if (!ret && !ghost)
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
	if (ret || !ednfile_is_collection(gather->edn, key))
		return ret;
	return ednfile_each_member(gather->edn, key, gather_member, gather);
}

/* What is pending may be in neither yet. */
static int gather_pending(struct gather *gather)
{
	struct slice name;
	void *value;
	size_t at = 0;
	int ret = 0;

	while (!ret && table_next(&gather->m->overlay, &at, &name, &value))
		ret = add_name(gather->names, name);
	return ret;
}

static int gather_eav(void *context, struct slice name, const struct eav_record *record)
{
	struct gather *gather = context;
	int ret;

	/* a header that is damaged: whether it is one of ours the file says */
	if (!record || slice_equal(name, buf_slice(&gather->last)))
		return 0;
	ret = add_name(gather->names, name);
	if (ret || --gather->left)
		return ret;
	buf_reset(&gather->last);
	buf_add_slice(&gather->last, name);
	return buf_error(&gather->last) ? -ENOMEM : 1;
}

/* 1: there are more. Under memory.lock. */
static int gather_slice(struct gather *gather)
{
	struct memory *m = gather->m;
	struct buf from = BUF_INIT;
	struct eav_reader reader;
	int ret = m->eav.store ? eav_read_begin(m->eav.store, &reader) : -ENODEV;

	if (ret)
		return ret;
	gather->left = SLICE_NAMES;
	buf_add_slice(&from, buf_slice(&gather->last));
	ret = buf_error(&from);
	if (!ret)
		ret = eav_each(&reader, buf_slice(&from), gather_eav, gather);
	eav_read_end(&reader);
	buf_release(&from);
	return ret;
}

int names_gather_edn(struct names *names, struct memory *m, const struct ednfile *edn)
{
	struct gather gather = {.m = m, .names = names, .edn = edn};

	return ednfile_each(edn, gather_key, &gather);
}

int names_gather(struct names *names, struct memory *m, const struct ednfile *edn)
{
	struct gather gather = {.m = m, .names = names};
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	gather.edn = edn ? edn : m->file;
	gather.ghosts = gather.edn == m->file ? &m->ghosts : NULL;
	ret = ednfile_each(gather.edn, gather_key, &gather);
	names->edn_len = names->text.len;
	if (!ret)
		ret = gather_pending(&gather);
	pthread_rwlock_unlock(&m->lock);
	/* a reader at a time: the map grows only while nobody reads */
	for (int more = !ret; more > 0;) {
		pthread_rwlock_rdlock(&m->lock);
		more = gather_slice(&gather);
		pthread_rwlock_unlock(&m->lock);
		ret = more < 0 ? more : 0;
	}
	if (!ret)
		ret = sort_names(names);
	buf_release(&gather.last);
	return ret;
}

void names_release(struct names *names)
{
	buf_release(&names->text);
	free(names->at);
	*names = (struct names){0};
}
