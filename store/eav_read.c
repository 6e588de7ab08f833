/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>
#include <stdlib.h>

int eav_get(struct eav_reader *reader, struct slice name, struct eav_record *record)
{
	struct eav_record found;
	struct slice whole;
	struct eav_key key;
	MDB_val k;
	MDB_val val;
	int ret;

	if (!reader->txn)
		return -ENOENT;
	eav_key_name(&key, name);
	k = eav_key_val(&key);
	ret = env_code(mdb_get(reader->txn, reader->eav->env.tables[EAV_DOCUMENTS], &k, &val));
	if (!ret)
		ret = eav_document_decode(k, val, &whole, &found);
	if (!ret && !slice_equal(whole, name))
		return -ENOENT; /* another name with the same hash */
	if (!ret)
		ret = eav_document_verify_bytes(val, &found);
	if (!ret)
		*record = found;
	else if (ret != -ENOENT)
		env_tell_damaged(&reader->eav->env);
	return ret;
}

int eav_note_get(struct eav_reader *reader, const char *note, void *value, size_t size)
{
	MDB_val key = eav_val(slice_str(note));
	MDB_val val;
	int ret;

	if (!reader->txn)
		return -ENOENT;
	ret = mdb_get(reader->txn, reader->eav->env.tables[EAV_NOTES], &key, &val);
	if (ret)
		return env_code(ret);
	if (val.mv_size != size)
		return -EINVAL;
	memcpy(value, val.mv_data, size);
	return 0;
}

/* ---- every document ---- */

struct each {
	eav_each_fn *fn;
	void *context;
	struct env *env;
};

static int each_row(void *context, const struct eav_row *row)
{
	const struct each *each = context;
	struct eav_record record;
	struct slice name;
	int ret = eav_document_decode(row->key, row->val, &name, &record);

	if (ret)
		env_tell_damaged(each->env);
	return each->fn(each->context, row->whole, ret ? NULL : &record);
}

int eav_each(struct eav_reader *reader, struct slice from, eav_each_fn *fn, void *context)
{
	struct each each = {fn, context, &reader->eav->env};
	struct eav_scan scan = {
		.table = EAV_DOCUMENTS, .from = from, .fn = each_row, .context = &each};

	return eav_scan(reader, &scan);
}
