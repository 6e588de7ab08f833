/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>

struct query {
	struct eav_reader *reader;
	struct slice name;      /* of the one entity it is about, or empty */
	struct slice attribute; /* encoded; empty: all */
	struct slice to;        /* whole datom; empty: no bound */
	bool past;              /* a datom behind `to` was met */
	eav_datom_fn *fn;
	void *context;
	struct buf attribute_text; /* scratch, as is value_text */
	struct buf value_text;
};

/* Who has this number: its row in "eav" has the key in "documents". Empty when that is damaged. */
static struct slice name_of(struct eav_reader *reader, uint64_t number)
{
	const struct env *env = &reader->eav->env;
	struct eav_record record;
	struct slice name;
	struct eav_key key;
	MDB_val k;
	MDB_val document;
	MDB_val val;

	eav_key_number(&key, number);
	k = eav_key_val(&key);
	if (mdb_get(reader->txn, env->tables[EAV_EAV], &k, &document) ||
		mdb_get(reader->txn, env->tables[EAV_DOCUMENTS], &document, &val) ||
		eav_document_decode(document, val, &name, &record) || record.entity != number)
		return slice_of(NULL, 0);
	return name;
}

static int decode(struct query *q, struct slice whole, struct eav_datom *datom)
{
	int ret;

	buf_reset(&q->attribute_text);
	buf_reset(&q->value_text);
	ret = eav_text_decode(&whole, &q->attribute_text, &datom->attribute);
	return ret ? ret : eav_value_decode(whole, &q->value_text, &datom->value);
}

static int tell(void *context, const struct eav_row *row)
{
	struct query *q = context;
	struct eav_datom datom = {.entity = row->number, .name = q->name};
	int ret;

	if (!slice_starts(row->whole, q->attribute))
		return 0;
	if (q->to.len && slice_compare(row->whole, q->to) > 0) {
		q->past = true;
		return 1;
	}
	ret = decode(q, row->whole, &datom);
	if (ret)
		return ret;
	if (!datom.name.len)
		datom.name = name_of(q->reader, row->number);
	return q->fn(q->context, &datom);
}

static int run(struct query *q, struct eav_scan *scan)
{
	int ret;

	scan->fn = tell;
	scan->context = q;
	ret = eav_scan(q->reader, scan);
	buf_release(&q->attribute_text);
	buf_release(&q->value_text);
	return q->past ? 0 : ret;
}

int eav_datoms(struct eav_reader *reader, struct slice name, eav_datom_fn *fn, void *context)
{
	struct query q = {.reader = reader, .name = name, .fn = fn, .context = context};
	struct eav_scan scan = {.table = EAV_EAV};
	struct eav_record record;
	struct eav_key number;
	int ret = eav_get(reader, name, &record);

	if (ret)
		return ret;
	eav_key_number(&number, record.entity);
	scan.prefix = slice_of(number.bytes, number.len);
	return run(&q, &scan);
}

int eav_range(struct eav_reader *reader, struct slice attribute, const struct eav_value *from,
	const struct eav_value *to, eav_datom_fn *fn, void *context)
{
	struct query q = {.reader = reader, .fn = fn, .context = context};
	struct eav_scan scan = {.table = EAV_AVE};
	struct buf first = BUF_INIT;
	struct buf last = BUF_INIT;
	size_t len;
	int ret;

	eav_text_encode(&first, attribute);
	eav_text_encode(&last, attribute);
	len = first.len;
	if (from)
		eav_value_encode(&first, from);
	if (to)
		eav_value_encode(&last, to);
	ret = buf_error(&first) ? -ENOMEM : buf_error(&last);
	if (!ret) {
		q.attribute = slice_of(first.ptr, len);
		q.to = slice_of(last.ptr, to ? last.len : 0);
		scan.from = buf_slice(&first);
		scan.prefix = slice_of(first.ptr, len < EAV_DATOM_CUT ? len : EAV_DATOM_CUT);
		ret = run(&q, &scan);
	}
	buf_release(&first);
	buf_release(&last);
	return ret;
}
