/* SPDX-License-Identifier: MIT */
#include "memory_agree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

static struct hash128 identity_of(const struct eav_record *record, bool found)
{
	return !found || record->deleted ? IDENTITY_ABSENT
	       : record->collection      ? IDENTITY_COLLECTION
					 : record->identity;
}

static int add_item(struct chunk *chunk, const struct eav_item *item,
	const struct agree_source *source)
{
	struct eav_item *to = &chunk->items[chunk->count];

	*to = *item;
	chunk->sources[chunk->count] = *source;
	to->name.ptr = arena_copy(&chunk->arena, item->name.ptr, item->name.len);
	if (!to->name.ptr)
		return -ENOMEM;
	chunk->bytes += source->text.len + source->saved.bytes.len;
	chunk->count++;
	return 0;
}

static int put_document(struct chunk *chunk, struct slice name, const struct doc *doc)
{
	struct eav_item item = {.name = name};
	struct agree_source source = {.saved = doc->record, .text = doc->item.text};
	struct saved_record *saved = &source.saved;
	int ret;

	source.text.ptr = arena_copy(&chunk->arena, source.text.ptr, source.text.len);
	if (saved->has_bytes)
		saved->bytes.ptr = arena_copy(&chunk->arena, saved->bytes.ptr, saved->bytes.len);
	else
		saved->bytes = (struct slice){0};
	if (!source.text.ptr || (saved->bytes.len && !saved->bytes.ptr))
		return -ENOMEM;
	source.in_edn = mode_row((enum mode)atomic_load(&chunk->m->mode))->writes_edn;
	ret = add_item(chunk, &item, &source);
	/* here the EAV store is looked at once more, which needs the lock */
	if (!ret && !source.in_edn) {
		ret = agree_make(chunk, chunk->count - 1);
		chunk->count -= ret != 0;
	}
	return ret;
}

static int note_difference(struct agree *agree, struct slice name)
{
	struct entity_id id;

	if (!agree->differ++ && entity_id_of_name(name, &id))
		snprintf(agree->first, sizeof(agree->first), "%.*s%s%.*s", (int)id.key.len,
			id.key.ptr, id.member.ptr ? " " : "", (int)id.member.len,
			id.member.ptr ? id.member.ptr : "");
	return 0;
}

int agree_make(struct chunk *chunk, size_t i)
{
	struct agree_source *source = &chunk->sources[i];
	struct eav_item *item = &chunk->items[i];
	struct slice name = item->name;
	int ret = 0;

	if (source->text.ptr)
		ret = memory_eav_item(chunk->m, &chunk->arena, name, &source->saved, source->text,
			source->in_edn, item);
	source->text.ptr = NULL;
	if (ret != -EFBIG || chunk->agree->tolerant)
		return ret;
	/* it stays in memory.edn alone, and what the EAV store had there before is no more */
	*item = (struct eav_item){.name = name};
	return note_difference(chunk->agree, name);
}

/* What is served goes to the EAV store. */
static int put_ours(struct chunk *chunk, struct slice name, struct doc *doc, struct hash128 ours)
{
	const struct agree_source made = {0};
	struct eav_item item = {.name = name};
	int ret = 0;

	if (hash128_equal(ours, IDENTITY_COLLECTION))
		ret = memory_eav_collection(&chunk->arena, name, chunk->m->sequence, &item);
	else if (!hash128_equal(ours, IDENTITY_ABSENT))
		return put_document(chunk, name, doc);
	return ret ? ret : add_item(chunk, &item, &made);
}

/* The EAV store is ahead: its value is served from now on. */
static int adopt_theirs(struct chunk *chunk, struct entity_id id, const struct eav_record *record)
{
	struct memory *m = chunk->m;
	struct change c = {.kind = CHANGE_PUT, .id = id};
	struct arena arena = ARENA_INIT;
	struct buf text = BUF_INIT;
	struct edn value;
	int ret = 0;

	if (record->deleted) {
		c.kind = CHANGE_DELETE;
	} else if (record->collection) {
		c.kind = CHANGE_COLLECTION;
	} else {
		ret = json_read(&arena, record->bytes, EDN_LOAD_DEPTH, &value, NULL);
		if (!ret)
			edn_print(&text, &value);
		c.text = buf_slice(&text);
		c.saved = (struct saved_record){.has_bytes = true,
			.has_mtime = record->has_mtime,
			.mode = record->mode,
			.mtime = record->mtime,
			.ino = record->ino,
			.version = record->version + 1,
			.text_hash = hash128(text.ptr, text.len),
			.identity = record->identity,
			.bytes = record->bytes};
	}
	if (!ret)
		ret = buf_error(&text);
	if (!ret)
		ret = memory_encode(m, &chunk->adopted, &c);
	buf_release(&text);
	arena_release(&arena);
	return ret;
}

static int keep_theirs(struct chunk *chunk, struct entity_id id, const struct eav_record *record)
{
	struct arena arena = ARENA_INIT;
	struct buf path = BUF_INIT;
	struct buf text = BUF_INIT;
	struct edn value;
	int ret = json_read(&arena, record->bytes, EDN_LOAD_DEPTH, &value, NULL);

	if (!ret)
		ret = memory_id_path(chunk->m, id, false, &path);
	if (!ret)
		edn_print(&text, &value);
	if (!ret)
		ret = memory_keep_conflict(chunk->m, buf_slice(&path), buf_slice(&text));
	buf_release(&text);
	buf_release(&path);
	arena_release(&arena);
	return ret;
}

/* Of a difference. record: what the EAV store has, if found. */
static int settle_one(struct chunk *chunk, struct slice name, struct entity_id id, struct doc *doc,
	struct hash128 ours, const struct eav_record *record, bool found)
{
	struct hash128 theirs = identity_of(record, found);
	struct hash128 base = found && record->base_exists ? record->base : IDENTITY_ABSENT;
	int ret = 0;

	if (chunk->agree->check)
		return note_difference(chunk->agree, name);
	/*
	 * What this memory has seen before is in ours, or was replaced or deleted since: of all modes saved
	 * keeps the outcome, which was loaded.
	 */
	if (found && record->transaction > chunk->m->sequence && !hash128_equal(theirs, base)) {
		if (hash128_equal(ours, base))
			return adopt_theirs(chunk, id, record);
		if (!record->deleted && !record->collection)
			ret = keep_theirs(chunk, id, record);
	}
	return ret ? ret : put_ours(chunk, name, doc, ours);
}

/* The identity of what is served at id; a document is loaded, from memory.edn. */
static int load_ours(struct memory *m, struct entity_id id, struct doc *doc, struct hash128 *ours)
{
	struct tree_node *node;
	int ret = memory_find_entity(m, id, &node);

	*ours = node && node->dir ? IDENTITY_COLLECTION : IDENTITY_ABSENT;
	if (ret || !node || node->dir)
		return ret;
	ret = doc_id(m, node, doc);
	return ret ? ret : doc_load_edn(m, doc);
}

/*
 * Of the same value: was it saved, or its mode or time set, while this store was not written? What saved knows
 * is the newer then, as it is written in every mode.
 */
static bool is_as_saved(const struct saved_record *ours, const struct eav_record *theirs)
{
	return ours->mode == theirs->mode && ours->ino == theirs->ino &&
	       ours->version == theirs->version && ours->has_mtime == theirs->has_mtime &&
	       (!ours->has_mtime || (ours->mtime.tv_sec == theirs->mtime.tv_sec &&
					    ours->mtime.tv_nsec == theirs->mtime.tv_nsec)) &&
	       (!ours->has_bytes || slice_equal(ours->bytes, theirs->bytes));
}

/* Does it remember the value as what memory.edn has, too? A tombstone remembers another. */
static bool agrees_with_edn(const struct memory *m, const struct eav_record *theirs,
	struct hash128 ours)
{
	return !m->edn_active ||
	       (!theirs->deleted && theirs->base_exists && hash128_equal(ours, theirs->base));
}

/* The same text is the same value, without looking into it. record NULL: the EAV store has none. */
static int identify(const struct memory *m, struct doc *doc, const struct eav_record *record,
	struct hash128 *ours)
{
	struct slice text = doc->item.text;
	int ret;

	if (record && !record->deleted && !record->collection &&
		hash128_equal(hash128(text.ptr, text.len), record->text_hash)) {
		*ours = record->identity;
		return 0;
	}
	ret = doc_identity(m, doc);
	if (!ret)
		*ours = doc->record.identity;
	return ret;
}

int agree_one(struct chunk *chunk, struct reading *reading, struct slice name)
{
	struct memory *m = chunk->m;
	struct eav_record record = {0};
	struct doc doc = {.within = reading};
	struct hash128 ours;
	struct entity_id id;
	bool found = false, damaged = false, wanted = false;
	int ret;

	/* what is pending is newer than either store, and is written behind this */
	if (!entity_id_of_name(name, &id) || table_get(&m->overlay, name))
		return 0;
	ret = load_ours(m, id, &doc, &ours);
	if (!ret) {
		ret = eav_get(&reading->eav, name, &record);
		found = !ret;
		damaged = ret == -EIO; /* what is served goes there */
		if (ret == -ENOENT || ret == -EIO)
			ret = 0;
		/* what was never there is read from memory.edn until it is migrated or saved */
		wanted = found || damaged || chunk->agree->migrate || chunk->agree->check ||
			 doc.record.sequence > m->eav.watermark;
	}
	/* of what is in one store alone the value does not matter here */
	if (!ret && wanted && doc.item.text.ptr && !found && !damaged) {
		ret = chunk->agree->check ? note_difference(chunk->agree, name)
					  : put_document(chunk, name, &doc);
		goto out;
	}
	if (!ret && doc.item.text.ptr)
		ret = identify(m, &doc, found ? &record : NULL, &ours);
	if (ret || !wanted)
		goto out;
	if (damaged || !hash128_equal(ours, identity_of(&record, found)))
		ret = settle_one(chunk, name, id, &doc, ours, &record, found);
	else if (found && !chunk->agree->check &&
		 (!agrees_with_edn(m, &record, ours) ||
			 (doc.item.text.ptr && !is_as_saved(&doc.record, &record))))
		ret = put_ours(chunk, name, &doc, ours);
out:
	doc_release(&doc);
	return ret;
}
