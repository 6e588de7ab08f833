/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>

/*
 * What another writer's copy of memory.edn is judged by: the value in the last file that he wrote, for each
 * entity that was changed here since. It is stated in the journal's record of the change, and kept with the
 * document in saved, as a tombstone where the document is gone.
 */

/* What is pending for the name, or saved. -ENOENT. reader keeps what record borrows. */
static int find_record(struct memory *m, struct slice name, struct saved_reader *reader,
	struct saved_record *record)
{
	struct pending *pending = table_get(&m->overlay, name);
	int ret;

	*reader = (struct saved_reader){0};
	if (pending) {
		*record = pending->saved;
		return 0;
	}
	ret = saved_read_begin(m->saved, reader);
	return ret ? ret : saved_get(reader, name, record);
}

int memory_base(struct memory *m, struct slice name, struct saved_base *base)
{
	struct saved_reader reader;
	struct saved_record record;
	int ret = find_record(m, name, &reader, &record);

	if (!ret && record.base.epoch != m->epoch)
		ret = -ENOENT;
	if (!ret)
		*base = record.base;
	saved_read_end(&reader);
	return ret;
}

/* The identity of what stands at id now. */
static int identity_now(struct memory *m, struct entity_id id, struct hash128 *identity)
{
	struct doc doc = DOC_INIT;
	struct tree_node *node;
	int ret = memory_find_entity(m, id, &node);

	*identity = node && node->dir ? IDENTITY_COLLECTION : IDENTITY_ABSENT;
	if (ret || !node || node->dir)
		return ret;
	ret = doc_id(m, node, &doc);
	if (!ret)
		ret = doc_load(m, &doc);
	if (!ret)
		ret = doc_identity(m, &doc);
	if (!ret)
		*identity = doc.record.identity;
	doc_release(&doc);
	return ret;
}

static void add_own(struct saved_base *base, struct hash128 value)
{
	if (hash128_equal(value, base->value))
		return;
	for (unsigned i = 0; i < base->own_count; i++) {
		if (hash128_equal(value, base->own[i]))
			return;
	}
	if (base->own_count == SAVED_OWN_MAX)
		memmove(base->own, base->own + 1, --base->own_count * sizeof(*base->own));
	base->own[base->own_count++] = value;
}

static struct hash128 identity_after(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_PUT:
		return c->saved.identity;
	case CHANGE_COLLECTION:
		return IDENTITY_COLLECTION;
	default:
		return IDENTITY_ABSENT;
	}
}

static int fill_base(struct memory *m, struct change *c)
{
	struct buf name = BUF_INIT;
	struct saved_base base = {0};
	struct hash128 now;
	int ret;

	entity_id_name(&name, c->id);
	ret = buf_error(&name);
	if (!ret)
		ret = memory_base(m, buf_slice(&name), &base);
	buf_release(&name);
	if (ret && ret != -ENOENT)
		return ret;
	if (c->kind != CHANGE_ATTRIBUTES) {
		bool has_base = !ret;

		ret = identity_now(m, c->id, &now);
		if (ret)
			return ret;
		if (has_base)
			add_own(&base, now);
		else if (!hash128_equal(now, identity_after(c)))
			base = (struct saved_base){.epoch = m->epoch, .value = now};
	}
	c->saved.base = base;
	return 0;
}

int memory_encode(struct memory *m, struct buf *payload, const struct change *change)
{
	struct change c = *change;
	int ret = 0;

	if (c.kind == CHANGE_PUT || c.kind == CHANGE_ATTRIBUTES || c.kind == CHANGE_DELETE ||
		c.kind == CHANGE_COLLECTION || c.kind == CHANGE_UNKEY)
		ret = fill_base(m, &c);
	if (!ret)
		change_encode(payload, &c);
	return ret ? ret : buf_error(payload);
}

/* ---- judging ---- */

enum { FEW_ENTITIES = 8 };

bool memory_lacks_most(const struct ednfile *file, size_t lacking, size_t of)
{
	struct ednfile_info info;

	ednfile_info(file, &info);
	return !info.exists || (lacking > FEW_ENTITIES && lacking * 2 > of);
}

enum verdict memory_judge_theirs(const struct saved_base *base, struct hash128 theirs)
{
	if (!base)
		return VERDICT_ADOPT;
	if (hash128_equal(theirs, base->value))
		return VERDICT_STALE;
	for (unsigned i = 0; i < base->own_count; i++) {
		if (hash128_equal(theirs, base->own[i]))
			return VERDICT_STALE;
	}
	return VERDICT_CONFLICT;
}
