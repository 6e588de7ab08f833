/* SPDX-License-Identifier: MIT */
#include "memory_eav.h"

#include "env_closed.h"
#include "memory_event.h"

#include <errno.h>

#include "store_trees.h"

int memory_eav_open(struct memory *m, struct err *err)
{
	struct eav_reader reader;
	struct err reason = {0};
	int ret = eav_open(&m->eav.store, m->dir.dir_fd, m->store_path, m->options.read_only,
		&reason);

	if (!ret) {
		m->eav.opened++;
		eav_on_write(m->eav.store, store_trees_touch, m);
		eav_make_way(m->eav.store, &m->attention);
		atomic_store(&m->eav.state, EAV_BEHIND);
		ret = eav_read_begin(m->eav.store, &reader);
		if (!ret)
			m->eav.marked = !eav_note_get(&reader, "watermark", &m->eav.watermark,
				sizeof(m->eav.watermark));
		eav_read_end(&reader);
	}
	if (!ret)
		return 0;
	if (!reason.code)
		err_set(&reason, ret, "data.mdb: %s", strerror(-ret));
	memory_eav_fail(m, &reason);
	if (err)
		*err = reason;
	return ret;
}

void memory_eav_close(struct memory *m)
{
	eav_close(m->eav.store);
	/* what has failed is examined before it is opened again */
	if (m->eav.store && atomic_load(&m->eav.state) == EAV_FAILED)
		env_forget_closed(m->dir.dir_fd);
	m->eav.store = NULL;
	m->eav.watermark = 0;
	m->eav.marked = false;
	atomic_store(&m->eav.state, EAV_CLOSED);
}

void memory_eav_fail(struct memory *m, const struct err *err)
{
	pthread_mutex_lock(&m->eav.mutex);
	atomic_store(&m->eav.state, EAV_FAILED);
	m->eav.reason = *err;
	pthread_mutex_unlock(&m->eav.mutex);
	memory_fails(m, FAILING_EAV, err);
	pace_signal(&m->flush.pace, false);
}

int memory_eav_reason(struct memory *m, struct err *err)
{
	struct err reason;

	pthread_mutex_lock(&m->eav.mutex);
	reason = m->eav.reason;
	pthread_mutex_unlock(&m->eav.mutex);
	if (!reason.code)
		err_set(&reason, -EIO, "data.mdb: it is not ready");
	if (err)
		*err = reason;
	return reason.code;
}

int memory_eav_note(struct memory *m, bool current, struct err *err)
{
	uint64_t word = current ? EAV_IS_CURRENT : m->eav.remade ? EAV_IS_REMADE : EAV_IS_BEHIND;
	struct saved_note note = {"eav", slice_of(&word, sizeof(word))};

	return saved_write(m->saved, NULL, 0, &note, 1, err);
}

int memory_eav_mark(struct memory *m, struct err *err)
{
	struct saved_note note = {
		"watermark", slice_of(&m->flush.watermark, sizeof(m->flush.watermark))};
	int ret = 0;

	if (!m->eav.marked || m->eav.watermark != m->flush.watermark)
		ret = eav_write(m->eav.store, NULL, 0, &note, 1, err);
	if (ret)
		return ret;
	m->eav.marked = true;
	m->eav.watermark = m->flush.watermark;
	m->eav.remade = false;
	return memory_eav_note(m, true, err);
}

/* ---- writing ---- */

/* What is gone from both stores is gone; where memory.edn still has it, a tombstone tells. */
static int set_gone(struct memory *m, struct arena *arena, struct eav_item *item)
{
	struct eav_record *tombstone;
	struct eav_record record;
	struct eav_reader reader;
	int ret;

	item->record = NULL;
	if (mode_row(m->mode)->writes_edn)
		return 0;
	ret = eav_read_begin(m->eav.store, &reader);
	if (!ret)
		ret = eav_get(&reader, item->name, &record);
	eav_read_end(&reader);
	if (ret == -EIO) {
		record = (struct eav_record){.base_exists = true, .base = IDENTITY_UNKNOWN};
		ret = 0;
	}
	if (ret || !record.base_exists)
		return ret == -ENOENT ? 0 : ret;
	tombstone = arena_alloc(arena, sizeof(*tombstone));
	if (!tombstone)
		return -ENOMEM;
	*tombstone = (struct eav_record){.deleted = true,
		.base_exists = true,
		.base = record.base,
		.type = SLICE_LITERAL("")};
	item->record = tombstone;
	return 0;
}

static int make_item(struct memory *m, struct arena *arena, struct slice name,
	const struct pending *p, struct eav_item *item)
{
	int ret;

	*item = (struct eav_item){.name = name};
	if (p->saved.deleted)
		return set_gone(m, arena, item);
	if (p->saved.collection)
		return memory_eav_collection(arena, name, p->sequence, item);
	ret = memory_eav_item(m, arena, name, &p->saved, p->saved.text,
		mode_row(m->mode)->writes_edn, item);
	if (ret != -EFBIG)
		return ret;
	/* memory.edn alone holds it: no older value may be found in its place */
	atomic_fetch_add(&m->eav.refused, 1);
	*item = (struct eav_item){.name = name};
	return 0;
}

int memory_eav_write(struct memory *m, const struct batch *b, struct err *err)
{
	struct saved_note note = {"watermark", slice_of(&b->sequence, sizeof(b->sequence))};
	struct arena arena = ARENA_INIT;
	struct eav_item *items = arena_alloc(&arena, (b->pending_count + 1) * sizeof(*items));
	int ret = items ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < b->pending_count; i++)
		ret = make_item(m, &arena, b->items[i].name, b->pending[i], &items[i]);
	if (!ret)
		ret = eav_write(m->eav.store, items, b->pending_count, &note, 1, err);
	arena_release(&arena);
	if (!ret)
		m->eav.watermark = b->sequence;
	else if (!err->code)
		err_set(err, ret, "data.mdb: %s", strerror(-ret));
	return ret;
}
