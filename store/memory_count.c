/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>

/* ---- the EAV store by type ---- */

int memory_count_eav_types(struct memory *m, memory_type_fn *fn, void *context)
{
	struct eav_reader reader;
	int ret = 0;

	pthread_rwlock_rdlock(&m->lock);
	if (m->eav.store && atomic_load(&m->eav.state) != EAV_FAILED) {
		ret = eav_read_begin(m->eav.store, &reader);
		if (!ret)
			ret = eav_each_type(&reader, fn, context);
		eav_read_end(&reader);
	}
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

/* ---- what Clojure can't read ---- */

struct unreadable {
	struct memory *m;
	memory_unreadable_fn *fn;
	void *context;
	struct buf path;
};

static int tell_unreadable(void *context, struct slice key, const struct ednfile_item *item)
{
	struct unreadable *all = context;
	int ret;

	if (!item->lenient)
		return 0;
	buf_reset(&all->path);
	ret = path_of_key_text(all->m->options.schema, key,
		ednfile_is_collection(all->m->file, key), &all->path);
	return ret ? ret : all->fn(all->context, key, buf_slice(&all->path));
}

int memory_each_unreadable(struct memory *m, memory_unreadable_fn *fn, void *context)
{
	struct unreadable all = {.m = m, .fn = fn, .context = context};
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = ednfile_each(m->file, tell_unreadable, &all);
	pthread_rwlock_unlock(&m->lock);
	buf_release(&all.path);
	return ret == -ECANCELED ? 0 : ret;
}
