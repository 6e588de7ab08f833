/* SPDX-License-Identifier: MIT */
#include "memory_batch.h"

#include <errno.h>
#include <string.h>

static int add_item(struct batch *b, char tag, struct slice name, const struct saved_record *record)
{
	size_t tagged = tag ? 1 : 0;
	char *copy = arena_alloc(&b->arena, name.len + tagged + 1);
	struct saved_record *kept = NULL;

	if (record) {
		kept = arena_copy(&b->arena, record, sizeof(*record));
		if (!kept)
			return -ENOMEM;
	}
	if (!copy)
		return -ENOMEM;
	copy[0] = tag;
	memcpy(copy + tagged, name.ptr, name.len);
	b->items[b->count++] = (struct saved_item){slice_of(copy, name.len + tagged), kept};
	return 0;
}

/* May it have to be put back: changed here, or adopted from a file that is not memory.edn's any more? */
static bool is_to_be_known(const struct memory *m, const struct saved_record *record)
{
	return record->base.epoch == m->epoch ||
	       (m->edn_active && m->rewrite_wanted && record->sequence > m->edn_written);
}

/*
 * A document that is gone, or a collection, is remembered only while it may have to be put back, as is
 * the text of one without bytes.
 */
static int add_document(struct memory *m, struct batch *b, struct slice name,
	const struct pending *p)
{
	struct saved_record record = p->saved;
	bool known = is_to_be_known(m, &record);

	if ((record.deleted || record.collection) && !known)
		return add_item(b, 0, name, NULL);
	if (!known)
		record.text = slice_of(NULL, 0);
	return add_item(b, 0, name, &record);
}

static int add_pending(struct memory *m, struct batch *b)
{
	struct slice name;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(&m->overlay, &at, &name, &value)) {
		struct pending *p = value;

		ret = add_document(m, b, name, p);
		if (ret)
			break;
		atomic_fetch_add(&p->references, 1);
		b->pending[b->pending_count++] = p;
	}
	return ret;
}

static int add_dirs(struct memory *m, struct batch *b)
{
	struct slice path;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(&m->dirty_dirs, &at, &path, &value)) {
		struct saved_record record = {0};
		struct tree_node *node;

		ret = tree_find(m->tree, path, &node);
		if (ret && ret != -ENOENT)
			break;
		if (ret || !node->dir) {
			ret = add_item(b, 'P', path, NULL);
			continue;
		}
		record.version = node->dir->has_mode;
		record.mode = node->dir->mode;
		record.has_mtime = node->dir->has_mtime;
		record.mtime = node->dir->mtime;
		record.ino = node->ino;
		ret = add_item(b, 'P', path, &record);
	}
	return ret;
}

static int add_exiles(struct memory *m, struct batch *b)
{
	static const struct saved_record nothing;
	struct slice ino;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(&m->exiles, &at, &ino, &value)) {
		if (value != m)
			continue;
		ret = add_item(b, 'X', ino, &nothing);
		if (!ret)
			b->exiles[b->exile_count++] =
				slice_of(b->items[b->count - 1].name.ptr + 1, ino.len);
	}
	return ret;
}

static int take_items(struct memory *m, struct batch *b)
{
	size_t most = m->overlay.count + m->dirty_dirs.count + m->exiles.count;
	int ret;

	b->items = arena_alloc(&b->arena, most * sizeof(*b->items));
	b->pending = arena_alloc(&b->arena, m->overlay.count * sizeof(struct pending *));
	b->exiles = arena_alloc(&b->arena, m->exiles.count * sizeof(*b->exiles));
	if (!b->items || !b->pending || !b->exiles)
		return -ENOMEM;
	ret = add_pending(m, b);
	if (!ret)
		ret = add_dirs(m, b);
	if (!ret)
		ret = add_exiles(m, b);
	return ret;
}

int batch_take(struct memory *m, struct batch *b)
{
	int ret = m->broken ? m->broken : take_items(m, b);

	/* no rewrite takes them along */
	if (!ret && !m->edn_active)
		ret = memory_flush_ghosts(m);

	if (ret)
		return ret;
	b->dirs = m->dirty_dirs;
	m->dirty_dirs = (struct table){0};
	m->overlay_bytes = 0;
	b->sequence = m->sequence;
	b->next_ino = m->next_ino;
	b->version = m->version;
	b->epoch = m->epoch;
	b->mode = (uint64_t)atomic_load(&m->mode);
	journal_rotate(m->journal);
	return 0;
}

void batch_finish(struct memory *m, struct batch *b, bool saved)
{
	struct slice path;
	size_t at = 0;
	void *value;

	for (size_t i = 0; saved && i < b->pending_count; i++) {
		if (table_get(&m->overlay, b->items[i].name) == b->pending[i])
			memory_drop_pending(table_remove(&m->overlay, b->items[i].name));
	}
	for (size_t i = 0; saved && i < b->exile_count; i++)
		table_put(&m->exiles, b->exiles[i], &m->exiles, NULL);
	while (!saved && table_next(&b->dirs, &at, &path, &value))
		memory_note_dir(m, path);
}

void batch_release(struct batch *b)
{
	for (size_t i = 0; i < b->pending_count; i++)
		memory_drop_pending(b->pending[i]);
	table_release(&b->dirs, NULL);
	arena_release(&b->arena);
}
