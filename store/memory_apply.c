/* SPDX-License-Identifier: MIT */
#include "memory_apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_trees.h"

static void reset_slot(struct memory *m, struct entity_id id)
{
	struct ednfile_item item;

	if (ednfile_get(m->file, id.key, id.member, &item) == 0)
		__atomic_store_n(item.slot, 0, __ATOMIC_RELEASE);
}

/* What an earlier mount was allowed to save is held, whether or not it came to memory.edn. */
static int hold_replayed(const struct apply *a, const struct change *c)
{
	const struct memory *m = a->m;
	struct table *held = &a->m->held;
	struct held_adding adding = {m, held};
	struct ednfile_item item = {.unreadable = false};
	int ret = a->replay ? held_add_key(m, held, c->id.key) : 0;

	if (!a->replay || ret || c->kind != CHANGE_PUT)
		return ret;
	ret = held_add_key(m, held, c->id.member);
	if (!ret && ednfile_get(m->file, c->id.key, c->id.member, &item) == 0)
		ret = held_add_entry(&adding, slice_of(NULL, 0), &item);
	return ret;
}

/* ---- memory.edn ---- */

static int unghost(struct memory *m, struct entity_id id)
{
	struct buf name = BUF_INIT;
	int ret;

	entity_id_name(&name, id);
	ret = buf_error(&name);
	if (!ret)
		table_remove(&m->ghosts, buf_slice(&name));
	buf_release(&name);
	return ret;
}

/* A deleted document may still stand where a collection is to be. */
static int clear_ghost_key(struct memory *m, struct slice key)
{
	struct entity_id id = {.key = key};
	int ret;

	if (ednfile_is_collection(m->file, key))
		return 0;
	ret = ednfile_delete(m->file, key, slice_of(NULL, 0));
	return ret && ret != -ENOENT ? ret : unghost(m, id);
}

static bool stands_as(struct memory *m, struct entity_id id, struct slice text)
{
	struct ednfile_item item;

	return ednfile_get(m->file, id.key, id.member, &item) == 0 && slice_equal(item.text, text);
}

/*
 * The value wanders from `from`, place and all. False: it is to be put as any other, also where a deleted
 * document still has its place.
 */
static bool move_text(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct ednfile_item there;

	/* who can't be told from a ghost is not moved, but put */
	if (!stands_as(m, c->from, c->text) || memory_is_ghost(m, c->from) ||
		ednfile_get(m->file, c->id.key, c->id.member, &there) == 0)
		return false;
	if (c->id.member.ptr && clear_ghost_key(m, c->id.key))
		return false;
	return ednfile_rename(m->file, c->from.key, c->from.member, c->id.key, c->id.member,
		       NULL) == 0;
}

static int put_text(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	int ret;

	if (stands_as(m, c->id, c->text)) {
		a->edn_changed |= table_remove(&m->ghosts, buf_slice(&a->name)) != NULL;
		return 0;
	}
	if (c->from.key.ptr && move_text(a, c)) {
		a->edn_changed = true;
		table_remove(&m->ghosts, buf_slice(&a->name));
		return 0;
	}
	ret = c->id.member.ptr ? clear_ghost_key(m, c->id.key) : 0;
	if (!ret)
		ret = ednfile_put(m->file, c->id.key, c->id.member, c->text, a->err);
	if (ret)
		return ret;
	a->edn_changed = true;
	table_remove(&m->ghosts, buf_slice(&a->name));
	return 0;
}

/* ---- one change each ---- */

static void count_up(struct memory *m, const struct saved_record *saved, struct slice name)
{
	if (saved->version > m->version)
		m->version = saved->version;
	if (!(saved->ino & INO_HASHED)) {
		if (saved->ino >= m->next_ino)
			m->next_ino = saved->ino + 1;
	} else if (saved->ino != (hash64(name.ptr, name.len, 1) | INO_HASHED)) {
		memory_exile(m, saved->ino);
	}
}

static int apply_put(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct saved_record saved = c->saved;
	struct tree_node *node;
	int ret = put_text(a, c);

	saved.text = c->text;
	saved.sequence = a->sequence;
	if (!ret)
		ret = hold_replayed(a, c);
	if (!ret)
		ret = memory_add_node(m, c->id, false, &a->times);
	if (!ret)
		ret = memory_set_pending(m, buf_slice(&a->name), &saved, a->sequence);
	if (!ret)
		ret = memory_find_node(m, c->id, false, &node);
	if (ret)
		return ret;
	count_up(m, &c->saved, buf_slice(&a->name));
	reset_slot(m, c->id);
	if (node) {
		node->ino = c->saved.ino;
		memory_count_in(m, node, c->id.key, c->text);
	}
	return 0;
}

static int apply_attributes(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct saved_record saved = c->saved;
	struct doc doc = DOC_INIT;
	struct tree_node *node;
	int ret = memory_find_node(m, c->id, false, &node);

	if (ret || !node)
		return ret;
	ret = doc_id(m, node, &doc);
	if (!ret)
		ret = doc_load(m, &doc);
	if (ret)
		goto out;
	saved.has_bytes = doc.has_record && doc.record.has_bytes && c->saved.has_bytes;
	saved.bytes = doc.record.bytes;
	saved.text = doc.item.text;
	saved.sequence = doc.record.sequence;
	/* in a replay the value may be another's: then the times speak of one that is gone */
	if (a->replay) {
		struct hash128 now = hash128(doc.item.text.ptr, doc.item.text.len);

		if (now.high != saved.text_hash.high || now.low != saved.text_hash.low)
			saved.has_mtime = doc.has_record && saved.has_mtime;
	}
	ret = memory_set_pending(m, buf_slice(&a->name), &saved, a->sequence);
	if (ret)
		goto out;
	count_up(m, &saved, buf_slice(&a->name));
	reset_slot(m, c->id);
	node->ino = saved.ino;
out:
	doc_release(&doc);
	return ret;
}

/* Could a store bring it back? One that can't be asked might. */
static bool is_stored(struct memory *m, struct slice name)
{
	struct saved_reader saved_reader;
	struct saved_record saved;
	struct eav_reader eav_reader;
	struct eav_record eav;
	int ret = saved_read_begin(m->saved, &saved_reader);

	ret = ret ? ret : saved_get(&saved_reader, name, &saved);
	saved_read_end(&saved_reader);
	if (ret != -ENOENT || !m->eav.store)
		return ret != -ENOENT;
	ret = eav_read_begin(m->eav.store, &eav_reader);
	ret = ret ? ret : eav_get(&eav_reader, name, &eav);
	eav_read_end(&eav_reader);
	return ret != -ENOENT;
}

/* What is left of an entity that goes: its base. A mount that only reads brings that nowhere, and keeps what it must. */
static int set_gone(struct apply *a, const struct change *c)
{
	struct saved_record gone = {
		.deleted = true, .sequence = a->sequence, .base = c->saved.base};

	if (a->m->options.read_only && !gone.base.epoch && !is_stored(a->m, buf_slice(&a->name))) {
		memory_drop_pending(table_remove(&a->m->overlay, buf_slice(&a->name)));
		store_trees_touch(a->m, buf_slice(&a->name));
		return 0;
	}
	return memory_set_pending(a->m, buf_slice(&a->name), &gone, a->sequence);
}

static int set_collection(struct apply *a, const struct change *c)
{
	struct saved_record collection = {
		.collection = true, .sequence = a->sequence, .base = c->saved.base};

	return memory_set_pending(a->m, buf_slice(&a->name), &collection, a->sequence);
}

static int apply_delete(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct ednfile_item item;
	struct tree_node *node;
	int ret = memory_find_node(m, c->id, false, &node);

	if (ret)
		return ret;
	ret = ednfile_get(m->file, c->id.key, c->id.member, &item);
	if (ret == -ENOMEM)
		return ret;
	if (!ret && (c->id.member.ptr || !ednfile_is_collection(m->file, c->id.key))) {
		ret = table_put(&m->ghosts, buf_slice(&a->name), m, NULL);
		if (ret)
			return ret;
		a->edn_changed = true;
	}
	ret = set_gone(a, c);
	if (ret || !node)
		return ret;
	memory_count_out(m, node);
	tree_remove(m->tree, node, &a->times);
	return 0;
}

static int apply_move(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	int ret;

	/* a replay may meet members of which the record knows nothing: those stay where they are */
	if (a->replay || !ednfile_is_collection(m->file, c->from.key))
		return 0;
	ret = memory_flush_ghosts(m);
	if (ret)
		return ret;
	a->edn_changed = true;
	ret = ednfile_rename(m->file, c->from.key, c->from.member, c->id.key, c->id.member, NULL);
	return ret == -ENOMEM ? ret : 0;
}

static int apply_collection(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	int ret = 0;

	if (!ednfile_is_collection(m->file, c->id.key)) {
		ret = clear_ghost_key(m, c->id.key);
		if (!ret)
			ret = ednfile_put(m->file, c->id.key, c->id.member, SLICE_LITERAL("{}"),
				a->err);
		a->edn_changed = true;
	}
	if (!ret)
		ret = hold_replayed(a, c);
	if (!ret)
		ret = memory_add_node(m, c->id, true, &a->times);
	return ret ? ret : set_collection(a, c);
}

static int apply_unkey(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct tree_node *node;
	int ret = memory_find_node(m, c->id, true, &node);

	if (ret)
		return ret;
	/* a member that no record deleted: someone else's, in a replay */
	if (node && tree_has_documents(node))
		return 0;
	if (!ednfile_is_collection(m->file, c->id.key))
		ret = -ENOENT;
	else
		ret = ednfile_delete(m->file, c->id.key, c->id.member);
	if (ret && ret != -ENOENT)
		return ret;
	a->edn_changed |= !ret;
	ret = set_gone(a, c);
	if (!ret && node)
		tree_remove(m->tree, node, &a->times);
	return ret;
}

static int apply_directory(struct apply *a, const struct change *c)
{
	struct buf name = BUF_INIT;
	struct tree_node *node;
	int ret = tree_find(a->m->tree, c->id.key, &node);

	if (ret || !node->dir)
		return ret == -ENOENT ? 0 : ret;
	node->dir->has_mode = c->has_mode;
	node->dir->mode = c->saved.mode;
	node->dir->has_mtime = c->saved.has_mtime;
	node->dir->mtime = c->saved.mtime;
	node->ino = c->saved.ino;
	buf_add_char(&name, 'P');
	buf_add_slice(&name, c->id.key);
	if (!buf_error(&name) && node->parent)
		count_up(a->m, &c->saved, buf_slice(&name));
	buf_release(&name);
	memory_note_dir(a->m, c->id.key);
	return 0;
}

/* What stands at id goes on standing; the other writer's file has something else there. */
static int apply_base(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct doc doc = DOC_INIT;
	struct tree_node *node;
	int ret = memory_find_entity(m, c->id, &node);

	if (ret)
		return ret;
	if (!node || node->dir)
		return node ? set_collection(a, c) : set_gone(a, c);
	ret = doc_id(m, node, &doc);
	if (!ret)
		ret = doc_load(m, &doc);
	if (!ret)
		ret = doc_identity(m, &doc);
	if (!ret) {
		doc.record.base = c->saved.base;
		doc.record.sequence = a->sequence;
		doc.record.text = doc.item.text;
		ret = memory_set_pending(m, buf_slice(&a->name), &doc.record, a->sequence);
	}
	if (!ret)
		reset_slot(m, c->id);
	doc_release(&doc);
	return ret;
}

static int apply_mode(struct memory *m, const struct change *c)
{
	enum mode mode;
	int ret = mode_of_word(c->id.key, &mode, NULL);

	if (!ret) {
		atomic_store(&m->mode, mode);
		m->edn_active = mode_row(mode)->writes_edn;
	}
	return ret ? -EBADMSG : 0;
}

int apply_change(struct apply *a, const struct change *c)
{
	switch (c->kind) {
	case CHANGE_PUT:
		return apply_put(a, c);
	case CHANGE_ATTRIBUTES:
		return apply_attributes(a, c);
	case CHANGE_DELETE:
		return apply_delete(a, c);
	case CHANGE_MOVE:
		return apply_move(a, c);
	case CHANGE_COLLECTION:
		return apply_collection(a, c);
	case CHANGE_UNKEY:
		return apply_unkey(a, c);
	case CHANGE_DIRECTORY:
		return apply_directory(a, c);
	case CHANGE_BASE:
		return apply_base(a, c);
	case CHANGE_EPOCH:
		a->m->epoch = c->saved.base.epoch;
		return 0;
	case CHANGE_MODE:
		return apply_mode(a->m, c);
	}
	return -EBADMSG;
}
