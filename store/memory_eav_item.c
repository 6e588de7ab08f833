/* SPDX-License-Identifier: MIT */
#include "memory_eav.h"

#include <errno.h>

#include "json.h"

static const char *type_of(const struct memory *m, struct arena *arena, struct slice name,
	const struct edn *value)
{
	const struct schema_row *row;
	struct entity_id id;
	struct edn key;

	if (!entity_id_of_name(name, &id))
		return "cache";
	row = schema_match(m->options.schema, memory_keyword(id.key));
	if (row)
		return row->type;
	if (memory_value_read(m, arena, id.key, &key, NULL))
		return "cache";
	return schema_type(m->options.schema, &key, value);
}

/* In what mode the stores are written decides whether memory.edn will hold the value, too. */
static int set_base(struct memory *m, struct slice name, bool in_edn, struct eav_record *record)
{
	struct eav_reader reader;
	struct eav_record before;
	int ret;

	record->base_exists = true;
	record->base = record->identity;
	if (in_edn)
		return 0;
	ret = eav_read_begin(m->eav.store, &reader);
	if (!ret)
		ret = eav_get(&reader, name, &before);
	eav_read_end(&reader);
	/* what was there is damaged: then it is kept apart from whatever memory.edn has */
	if (ret == -EIO) {
		record->base = IDENTITY_UNKNOWN;
		return 0;
	}
	record->base_exists = !ret && before.base_exists;
	record->base = record->base_exists ? before.base : IDENTITY_ABSENT;
	return ret == -ENOENT ? 0 : ret;
}

/* As it was saved, else as it is shown. */
static int set_bytes(const struct memory *m, struct arena *arena, const struct saved_record *saved,
	const struct edn *value, bool in_edn, struct slice *bytes)
{
	struct buf shown = BUF_INIT;
	char *copy;
	int ret;

	if (saved->has_bytes) {
		*bytes = saved->bytes;
		return 0;
	}
	if (in_edn) {
		ret = memory_value_print(m, value, &shown, NULL);
	} else {
		json_print_document(&shown, value);
		ret = buf_error(&shown);
	}
	copy = ret ? NULL : arena_copy(arena, shown.ptr, shown.len);
	*bytes = slice_of(copy, shown.len);
	buf_release(&shown);
	return ret ? ret : copy ? 0 : -ENOMEM;
}

/*
 * Of what was saved the value was small enough, then: doc_max may be another now. And what memory.edn does not hold has no
 * other place.
 */
static int read_value(const struct memory *m, struct arena *arena, const struct saved_record *saved,
	struct slice text, bool in_edn, struct edn *value)
{
	if (!text.ptr)
		return json_read(arena, saved->bytes, EDN_LOAD_DEPTH, value, NULL);
	if (saved->has_bytes || !in_edn)
		return edn_read(arena, text, EDN_LOAD_DEPTH, value, NULL, NULL);
	return memory_value_read(m, arena, text, value, NULL);
}

int memory_eav_item(struct memory *m, struct arena *arena, struct slice name,
	const struct saved_record *saved, struct slice text, bool in_edn, struct eav_item *item)
{
	struct eav_record *record = arena_alloc(arena, sizeof(*record));
	struct edn *value = arena_alloc(arena, sizeof(*value));
	int ret;

	if (!record || !value)
		return -ENOMEM;
	ret = read_value(m, arena, saved, text, in_edn, value);
	if (ret)
		return ret;
	*record = (struct eav_record){
		.has_mtime = saved->has_mtime,
		.mode = saved->mode,
		.mtime = saved->mtime,
		.ino = saved->ino,
		.version = saved->version,
		.transaction = saved->sequence,
		.text_hash = text.ptr ? hash128(text.ptr, text.len) : saved->text_hash,
		.identity = edn_identity(value),
		.type = slice_str(type_of(m, arena, name, value)),
	};
	ret = set_base(m, name, in_edn, record);
	if (!ret)
		ret = set_bytes(m, arena, saved, value, in_edn, &record->bytes);
	*item = (struct eav_item){name, record, value};
	return ret;
}

int memory_eav_collection(struct arena *arena, struct slice name, uint64_t sequence,
	struct eav_item *item)
{
	struct eav_record *record = arena_alloc(arena, sizeof(*record));

	if (!record)
		return -ENOMEM;
	*record = (struct eav_record){.collection = true,
		.base_exists = true,
		.base = IDENTITY_COLLECTION,
		.identity = IDENTITY_COLLECTION,
		.transaction = sequence,
		.type = SLICE_LITERAL("")};
	*item = (struct eav_item){name, record, NULL};
	return 0;
}
