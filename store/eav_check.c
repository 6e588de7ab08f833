/* SPDX-License-Identifier: MIT */
#include "eav_check_private.h"

#include <errno.h>
#include <stdlib.h>

#include "json.h"

enum { STAGE_DOCUMENTS, STAGE_EAV, STAGE_AVE, STAGE_NOTES, STAGES };
/* Of one slice: rows, where so many bytes of a value count as a row, too. */
enum { SLICE_WORK = 500, ROW_BYTES = 4096 };
enum { OWNER_NONE, OWNER_DAMAGED, OWNER_KNOWN };

int eav_check_tell(struct eav_check *check, enum eav_problem_kind kind, struct slice name,
	uint64_t number, const char *what)
{
	struct eav_problem problem = {kind, name, number, SLICE_LITERAL(""), what};

	return check->fn(check->context, &problem);
}

int eav_check_tell_datom(struct eav_check *check, enum eav_problem_kind kind, struct slice name,
	uint64_t number, struct slice whole, const char *what)
{
	struct eav_problem problem = {kind, name, number, SLICE_LITERAL(""), what};

	buf_reset(&check->scratch);
	if (eav_text_decode(&whole, &check->scratch, &problem.attribute))
		problem.attribute = SLICE_LITERAL("");
	return check->fn(check->context, &problem);
}

static int find(const struct eav_check *check, unsigned table, const struct eav_key *key,
	MDB_val *val)
{
	MDB_val k = eav_key_val(key);
	int ret = mdb_get(check->reader->txn, check->reader->eav->env.tables[table], &k, val);

	return ret ? env_code(ret) : 0;
}

/* ---- documents ---- */

/* Its number's row in "eav" leads to its key. *leads is set without an error only. */
static int check_number(struct eav_check *check, MDB_val key, struct slice name, uint64_t number,
	bool *leads)
{
	struct eav_key row;
	MDB_val val;
	int ret;

	eav_key_number(&row, number);
	ret = find(check, EAV_EAV, &row, &val);
	*leads = !ret && slice_equal(eav_slice(val), eav_slice(key));
	if (*leads || (ret && ret != -ENOENT))
		return *leads ? 0 : ret;
	return eav_check_tell(check, EAV_DAMAGED, name, number,
		ret ? "its number has no row in the index by entity"
		    : "its number is another entity's, too");
}

/* *value stays NULL where there is none to be had. */
static int check_value(struct eav_check *check, struct slice name, MDB_val val,
	const struct eav_record *record, struct edn *to, const struct edn **value)
{
	int ret;

	if (eav_document_verify_bytes(val, record))
		return eav_check_tell(check, EAV_DAMAGED, name, record->entity,
			"the document's checksum is wrong");
	ret = json_read(&check->arena, record->bytes, EDN_LOAD_DEPTH, to, NULL);
	if (ret == -EBADMSG)
		return eav_check_tell(check, EAV_DAMAGED, name, record->entity,
			"the document is not JSON");
	if (ret)
		return ret;
	*value = to;
	if (hash128_equal(edn_identity(to), record->identity))
		return 0;
	return eav_check_tell(check, EAV_DAMAGED, name, record->entity,
		"the document is not the value that its header speaks of");
}

static int check_decoded(struct eav_check *check, MDB_val key, MDB_val val, struct slice name,
	const struct eav_record *record)
{
	bool plain = !record->collection && !record->deleted;
	const struct edn *value = NULL;
	bool leads = false;
	struct edn edn;
	int ret = check_number(check, key, name, record->entity, &leads);

	if (!ret && plain)
		ret = check_value(check, name, val, record, &edn, &value);
	if (!ret && leads && (value || !plain))
		ret = eav_check_datoms(check, name, record->entity, value);
	arena_reset(&check->arena);
	return ret;
}

static int check_document(struct eav_check *check, MDB_val key, MDB_val val)
{
	struct eav_record record;
	struct eav_key again;
	struct slice name;

	if (eav_document_decode(key, val, &name, &record))
		return eav_check_tell(check, EAV_DAMAGED, name, 0,
			"the header's checksum is wrong");
	eav_key_name(&again, name);
	if (!slice_equal(slice_of(again.bytes, again.len), eav_slice(key)))
		return eav_check_tell(check, EAV_DAMAGED, name, record.entity,
			"its name is not the one of its key");
	return check_decoded(check, key, val, name, &record);
}

/* ---- indexes ---- */

/* Whose rows these are; what can't be said of a damaged document was said of it. */
static void find_owner(struct eav_check *check, uint64_t number)
{
	struct eav_record record;
	struct slice name;
	struct eav_key key;
	MDB_val document;
	MDB_val val;

	if (check->owner == number && check->owner_state != OWNER_NONE)
		return;
	check->owner = number;
	check->owner_state = OWNER_NONE;
	check->owner_name = slice_of(NULL, 0);
	eav_key_number(&key, number);
	if (find(check, EAV_EAV, &key, &document) || document.mv_size > sizeof(key.bytes))
		return;
	key.len = document.mv_size;
	memcpy(key.bytes, document.mv_data, key.len);
	if (find(check, EAV_DOCUMENTS, &key, &val))
		return;
	if (eav_document_decode(document, val, &name, &record)) {
		check->owner_state = OWNER_DAMAGED;
	} else if (record.entity == number) {
		check->owner_state = OWNER_KNOWN;
		check->owner_name = name;
	}
}

static bool decodes(struct eav_check *check, struct slice whole)
{
	struct eav_value value;
	struct slice text;

	buf_reset(&check->scratch);
	return !eav_text_decode(&whole, &check->scratch, &text) &&
	       !eav_value_decode(whole, &check->scratch, &value);
}

static bool is_in(const struct eav_check *check, unsigned table, const struct eav_key *key,
	MDB_val beside, int *ret)
{
	MDB_val val;

	*ret = find(check, table, key, &val);
	if (*ret == -ENOENT) {
		*ret = 0;
		return false;
	}
	return !*ret && slice_equal(eav_slice(val), eav_slice(beside));
}

static int check_eav_row(struct eav_check *check, const struct eav_row *row, struct slice part)
{
	struct eav_key key;
	bool both;
	int ret;

	find_owner(check, row->number);
	if (check->owner_state == OWNER_NONE)
		return eav_check_tell_datom(check, EAV_INDEX_WITHOUT_DATOM, check->owner_name,
			row->number, row->whole,
			"the index by entity has a datom of a number that is nobody's");
	eav_key_ave(&key, part, row->number);
	both = is_in(check, EAV_AVE, &key, row->val, &ret);
	if (ret || both)
		return ret;
	return eav_check_tell_datom(check, EAV_DATOM_WITHOUT_INDEX, check->owner_name, row->number,
		row->whole, "a datom that the index by attribute lacks");
}

static int check_ave_row(struct eav_check *check, const struct eav_row *row, struct slice part)
{
	struct eav_key key;
	bool both;
	int ret;

	eav_key_eav(&key, row->number, part);
	both = is_in(check, EAV_EAV, &key, row->val, &ret);
	if (ret || both)
		return ret;
	find_owner(check, row->number);
	return eav_check_tell_datom(check, EAV_INDEX_WITHOUT_DATOM, check->owner_name, row->number,
		row->whole, "the index by attribute has a datom that the index by entity lacks");
}

/* The row of a number by itself. */
static int check_number_row(struct eav_check *check, uint64_t number)
{
	find_owner(check, number);
	if (check->owner_state != OWNER_NONE)
		return 0;
	return eav_check_tell(check, EAV_DAMAGED, slice_of(NULL, 0), number,
		"the index by entity has a number that is nobody's");
}

static int check_index(struct eav_check *check, MDB_val key, MDB_val val)
{
	unsigned table = check->stage == STAGE_EAV ? EAV_EAV : EAV_AVE;
	struct eav_row row = {.key = key, .val = val};
	struct slice part = eav_slice(key);
	int ret = eav_row_decode(table, &row);

	if (!ret || ret == -ENOENT) {
		part = slice_of(part.ptr + (table == EAV_EAV ? EAV_NUMBER : 0),
			part.len - EAV_NUMBER);
		row.number = eav_number_of((char *)key.mv_data + (table == EAV_EAV ? 0 : part.len));
		if (row.number > check->highest)
			check->highest = row.number;
	}
	if (ret == -ENOENT && table == EAV_EAV)
		return check_number_row(check, row.number);
	if (ret || !decodes(check, row.whole))
		return eav_check_tell(check, EAV_DAMAGED, slice_of(NULL, 0), row.number,
			table == EAV_EAV ? "a row of the index by entity is no datom"
					 : "a row of the index by attribute is no datom");
	return table == EAV_EAV ? check_eav_row(check, &row, part)
				: check_ave_row(check, &row, part);
}

/* ---- the numbers that are yet to be given ---- */

static int check_next(struct eav_check *check)
{
	uint64_t next = 1;
	int ret = eav_note_get(check->reader, EAV_NEXT_ENTITY, &next, sizeof(next));

	if (ret && ret != -ENOENT && ret != -EINVAL)
		return ret;
	if (ret != -EINVAL && next > check->highest)
		return 0;
	return eav_check_tell(check, EAV_DAMAGED, slice_of(NULL, 0), 0,
		"the note of the next number is behind one that is given");
}

/* ---- slices ---- */

static int check_row(struct eav_check *check, MDB_val key, MDB_val val)
{
	return check->stage == STAGE_DOCUMENTS ? check_document(check, key, val)
					       : check_index(check, key, val);
}

static int seek(const struct eav_check *check, MDB_cursor *cursor, MDB_val *key, MDB_val *val)
{
	int ret;

	*key = eav_val(buf_slice(&check->at));
	ret = mdb_cursor_get(cursor, key, val, check->at.len ? MDB_SET_RANGE : MDB_FIRST);
	if (!ret && check->at.len && slice_equal(eav_slice(*key), buf_slice(&check->at)))
		ret = mdb_cursor_get(cursor, key, val, MDB_NEXT);
	return ret;
}

/* 1: the table goes on. */
static int walk(struct eav_check *check, MDB_cursor *cursor)
{
	size_t work = 0;
	MDB_val key;
	MDB_val val;
	int ret = seek(check, cursor, &key, &val);

	while (!ret) {
		ret = check_row(check, key, val);
		if (ret)
			return ret;
		work += 1 + val.mv_size / ROW_BYTES;
		if (work >= SLICE_WORK) {
			buf_reset(&check->at);
			buf_add_slice(&check->at, eav_slice(key));
			return buf_error(&check->at) ? -ENOMEM : 1;
		}
		ret = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
	}
	return ret == MDB_NOTFOUND ? 0 : env_code(ret);
}

static int check_table(struct eav_check *check)
{
	static const unsigned TABLE[] = {
		[STAGE_DOCUMENTS] = EAV_DOCUMENTS, [STAGE_EAV] = EAV_EAV, [STAGE_AVE] = EAV_AVE};
	const struct eav_reader *reader = check->reader;
	MDB_cursor *cursor;
	int ret =
		mdb_cursor_open(reader->txn, reader->eav->env.tables[TABLE[check->stage]], &cursor);

	if (ret)
		return env_code(ret);
	ret = walk(check, cursor);
	mdb_cursor_close(cursor);
	if (ret)
		return ret;
	buf_reset(&check->at);
	check->stage++;
	return 1;
}

int eav_check_some(struct eav_check *check, struct eav_reader *reader)
{
	if (!reader->txn || check->stage == STAGES)
		return 0;
	check->reader = reader;
	check->owner_state = OWNER_NONE; /* what is known of it is an earlier reader's */
	if (check->stage != STAGE_NOTES)
		return check_table(check);
	check->stage = STAGES;
	return check_next(check);
}

struct eav_check *eav_check_new(eav_problem_fn *fn, void *context)
{
	struct eav_check *check = calloc(1, sizeof(*check));

	if (check) {
		check->fn = fn;
		check->context = context;
	}
	return check;
}

void eav_check_free(struct eav_check *check)
{
	if (!check)
		return;
	eav_datoms_release(&check->datoms);
	arena_release(&check->arena);
	buf_release(&check->scratch);
	buf_release(&check->at);
	free(check);
}

int eav_check_all(struct eav *eav, eav_problem_fn *fn, void *context)
{
	struct eav_check *check = eav_check_new(fn, context);
	int ret = check ? 1 : -ENOMEM;

	while (ret == 1) {
		struct eav_reader reader;

		ret = eav_read_begin(eav, &reader);
		if (!ret)
			ret = eav_check_some(check, &reader);
		eav_read_end(&reader);
	}
	eav_check_free(check);
	return ret;
}
