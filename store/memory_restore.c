/* SPDX-License-Identifier: MIT */
#include "memory_eav.h"

#include <errno.h>
#include <string.h>

#include "json.h"

/*
 * At open memory.edn may lack what was committed: the daemon ended before the rewrite, the rewrite failed, or
 * another writer put his older copy there. saved knows what; of a document it has the bytes, or the text
 * of one that was never saved as JSON. The file in memory is brought up to it, before the journal is.
 *
 * A file of another writer's that lacks most of what the EAV store holds, or where that can't be asked, of what saved
 * knows, comes from one that started empty: all of it is brought back, and the merge that follows sees what
 * theirs lacks.
 */
struct restore {
	struct memory *m;
	size_t known, lacking; /* documents whose value the EAV store, or saved, has */
	bool all;
};

static int put_text(struct memory *m, struct entity_id id, struct slice text)
{
	m->rewrite_wanted = true;
	if (id.member.ptr && !ednfile_is_collection(m->file, id.key))
		ednfile_delete(m->file, id.key, slice_of(NULL, 0));
	return ednfile_put(m->file, id.key, id.member, text, NULL);
}

static int put_value(struct memory *m, struct entity_id id, const struct edn *value)
{
	struct buf text = BUF_INIT;
	int ret;

	edn_print(&text, value);
	ret = buf_error(&text);
	if (!ret)
		ret = put_text(m, id, buf_slice(&text));
	buf_release(&text);
	return ret;
}

/* Of what is not looked into. */
static int restore_text(struct memory *m, struct entity_id id, struct slice text)
{
	struct slice there;
	int ret = memory_entity_text(m->file, id, false, &there);

	if (ret && ret != -ENOENT)
		return ret;
	return !ret && slice_equal(there, text) ? 0 : put_text(m, id, text);
}

/* Does the file hold this value already, in whatever layout? */
static int holds(struct memory *m, struct entity_id id, const struct edn *value, bool *same)
{
	struct arena arena = ARENA_INIT;
	struct edn there;
	struct slice text;
	int ret = memory_entity_text(m->file, id, false, &text);

	*same = false;
	if (!ret)
		ret = memory_value_read(m, &arena, text, &there, NULL);
	if (!ret)
		*same = edn_identical(&there, value);
	arena_release(&arena);
	return ret == -ENOENT || ret == -EFBIG ? 0 : ret;
}

int memory_restore_value(struct memory *m, struct entity_id id, struct slice bytes,
	struct slice text)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	bool same = true;
	int ret = bytes.ptr ? json_read(&arena, bytes, EDN_LOAD_DEPTH, &value, NULL)
			    : memory_value_read(m, &arena, text, &value, NULL);

	if (ret == -EFBIG)
		ret = restore_text(m, id, text);
	else if (!ret)
		ret = holds(m, id, &value, &same);
	if (!ret && !same)
		ret = put_value(m, id, &value);
	arena_release(&arena);
	/* a key that Clojure's = takes for it stands in the way: what is in the file is left there */
	return ret == -EEXIST ? 0 : ret;
}

static int restore_collection(struct memory *m, struct entity_id id)
{
	if (ednfile_is_collection(m->file, id.key))
		return 0;
	m->rewrite_wanted = true;
	return ednfile_put(m->file, id.key, id.member, SLICE_LITERAL("{}"), NULL);
}

static int restore_absence(struct memory *m, struct entity_id id)
{
	int ret;

	/* a collection's members have been deleted one by one, where they were */
	if (!id.member.ptr && ednfile_is_collection(m->file, id.key) &&
		ednfile_member_count(m->file, id.key))
		return 0;
	ret = ednfile_delete(m->file, id.key, id.member);
	m->rewrite_wanted |= !ret;
	return ret == -ENOENT || ret == -ENOTDIR ? 0 : ret;
}

/* Is it to be there, although memory.edn may say otherwise? */
static bool is_due(const struct restore *restore, const struct saved_record *record)
{
	const struct memory *m = restore->m;

	if (m->foreign && restore->all && !record->deleted)
		return true;
	if (m->foreign)
		return record->base.epoch == m->epoch;
	return record->sequence > m->work.file.sequence;
}

static int restore_one(void *context, struct slice name, const struct saved_record *record)
{
	struct restore *restore = context;
	struct memory *m = restore->m;
	struct entity_id id;

	if (!is_due(restore, record) || !entity_id_of_name(name, &id))
		return 0;
	if (record->deleted)
		return restore_absence(m, id);
	if (record->collection)
		return restore_collection(m, id);
	if (record->damaged)
		return -EIO;
	if (!record->has_bytes && !record->text.ptr)
		return 0;
	return memory_restore_value(m, id, record->has_bytes ? record->bytes : slice_of(NULL, 0),
		record->text);
}

static bool file_lacks(struct memory *m, struct entity_id id)
{
	struct slice text;

	return memory_entity_text(m->file, id, false, &text) == -ENOENT;
}

static int count_saved(void *context, struct slice name, const struct saved_record *record)
{
	struct restore *restore = context;
	struct entity_id id;

	if (record->deleted || record->collection || (!record->has_bytes && !record->text.ptr) ||
		!entity_id_of_name(name, &id))
		return 0;
	restore->known++;
	restore->lacking += file_lacks(restore->m, id);
	return 0;
}

static int count_eav(void *context, struct slice name, const struct eav_record *record)
{
	struct restore *restore = context;
	struct entity_id id;

	if (!record || record->deleted || record->collection || !entity_id_of_name(name, &id))
		return 0;
	restore->known++;
	restore->lacking += file_lacks(restore->m, id);
	return 0;
}

/* A damaged one is passed over: what the file has is as good as what can be had. */
static int restore_lacking(void *context, struct slice name, const struct eav_record *record)
{
	struct memory *m = context;
	struct entity_id id;

	if (!record || record->deleted || !entity_id_of_name(name, &id))
		return 0;
	if (record->collection)
		return restore_collection(m, id);
	return file_lacks(m, id) ? memory_restore_value(m, id, record->bytes, slice_of(NULL, 0))
				 : 0;
}

static bool is_most(const struct restore *restore)
{
	return memory_lacks_most(restore->m->file, restore->lacking, restore->known);
}

static int restore_from_eav(struct restore *restore)
{
	struct memory *m = restore->m;
	struct eav_reader reader;
	int ret = eav_read_begin(m->eav.store, &reader);

	if (!ret)
		ret = eav_each(&reader, slice_of("", 0), count_eav, restore);
	restore->all = is_most(restore);
	if (!ret && restore->all)
		ret = eav_each(&reader, slice_of("", 0), restore_lacking, m);
	eav_read_end(&reader);
	return ret;
}

int memory_restore(struct memory *m, bool eav_current, struct err *err)
{
	bool from_eav = m->foreign && eav_current && atomic_load(&m->eav.state) == EAV_BEHIND;
	struct restore restore = {.m = m};
	struct saved_reader reader;
	int ret = from_eav ? restore_from_eav(&restore) : 0;

	restore.known = restore.lacking = 0;
	if (ret)
		return err_set(err, ret, "cannot restore memory.edn: %s", strerror(-ret));
	ret = saved_read_begin(m->saved, &reader);
	if (!ret && m->foreign)
		ret = saved_each(&reader, 'M', count_saved, &restore);
	if (!ret && m->foreign)
		ret = saved_each(&reader, 'D', count_saved, &restore);
	restore.all |= is_most(&restore);
	/* members first, so that a collection that is to go is found empty */
	if (!ret)
		ret = saved_each(&reader, 'M', restore_one, &restore);
	if (!ret)
		ret = saved_each(&reader, 'D', restore_one, &restore);
	saved_read_end(&reader);
	return ret ? err_set(err, ret, "cannot restore memory.edn: %s",
			     ret == -EIO ? "saved/data.mdb is damaged (ourofsctl check tells more)"
					 : strerror(-ret))
		   : 0;
}

/* ---- what another writer removed ---- */

struct gone {
	struct memory *m;
	struct table names;
};

/* What is pending says itself what becomes of it. */
static int add_gone(void *context, struct slice name, const struct saved_record *record)
{
	struct gone *gone = context;
	struct entity_id id;

	if (record->deleted || record->collection || table_get(&gone->m->overlay, name) ||
		!entity_id_of_name(name, &id) || !file_lacks(gone->m, id))
		return 0;
	return table_put(&gone->names, name, gone, NULL);
}

static int find_gone(struct gone *gone)
{
	struct saved_reader reader;
	int ret = saved_read_begin(gone->m->saved, &reader);

	if (!ret)
		ret = saved_each(&reader, 'M', add_gone, gone);
	if (!ret)
		ret = saved_each(&reader, 'D', add_gone, gone);
	saved_read_end(&reader);
	return ret;
}

int memory_forget_gone(struct memory *m, struct err *err)
{
	struct gone gone = {.m = m};
	struct arena arena = ARENA_INIT;
	struct saved_item *items = NULL;
	size_t at = 0, count = 0;
	struct slice name;
	void *value;
	int ret = find_gone(&gone);

	if (!ret && gone.names.count) {
		items = arena_alloc(&arena, gone.names.count * sizeof(*items));
		ret = items ? 0 : -ENOMEM;
	}
	while (items && table_next(&gone.names, &at, &name, &value))
		items[count++] = (struct saved_item){.name = name};
	if (ret)
		err_set(err, ret, "cannot forget what is gone: %s", strerror(-ret));
	else if (count)
		ret = saved_write(m->saved, items, count, NULL, 0, err);
	table_release(&gone.names, NULL);
	arena_release(&arena);
	return ret;
}

/* ---- all of it, from the EAV store ---- */

struct load {
	struct memory *m;
	struct eav_reader eav;
	struct saved_reader saved;
	struct err *err;
};

/* A damaged document has a copy of its bytes in saved, if it was saved here. */
static int load_damaged(struct load *load, struct slice name, struct entity_id id)
{
	struct saved_record record;
	int ret = saved_get(&load->saved, name, &record);

	if (!ret && record.collection)
		return restore_collection(load->m, id);
	if (!ret && !record.deleted && record.has_bytes)
		return memory_restore_value(load->m, id, record.bytes, slice_of(NULL, 0));
	return err_set(load->err, -EIO, "data.mdb: the document of %.*s%s%.*s is damaged",
		(int)id.key.len, id.key.ptr, id.member.ptr ? " " : "", (int)id.member.len,
		id.member.ptr ? id.member.ptr : "");
}

static int load_one(void *context, struct slice name, const struct eav_record *record)
{
	struct load *load = context;
	struct eav_record verified;
	struct entity_id id;
	int ret;

	if (!entity_id_of_name(name, &id))
		return 0;
	ret = record ? eav_get(&load->eav, name, &verified) : -EIO;
	if (ret == -EIO)
		return load_damaged(load, name, id);
	if (ret || verified.deleted)
		return ret;
	return verified.collection
		       ? restore_collection(load->m, id)
		       : memory_restore_value(load->m, id, verified.bytes, slice_of(NULL, 0));
}

int memory_load_eav(struct memory *m, struct err *err)
{
	struct err reason = {0};
	struct load load = {.m = m, .err = &reason};
	int ret = eav_read_begin(m->eav.store, &load.eav);

	if (!ret)
		ret = saved_read_begin(m->saved, &load.saved);
	if (!ret)
		ret = eav_each(&load.eav, slice_of("", 0), load_one, &load);
	saved_read_end(&load.saved);
	eav_read_end(&load.eav);
	return ret ? err_set(err, ret, "cannot load the EAV store: %s",
			     reason.code ? reason.text : strerror(-ret))
		   : 0;
}
