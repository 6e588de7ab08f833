/* SPDX-License-Identifier: MIT */
#include "eav_check_private.h"

#include <errno.h>
#include <stdlib.h>

#include "json.h"

/*
 * The datoms that a document gives and those that "eav" has are in one order and taken side by side. What is left
 * on either side may still be one value written in another order of its maps or sets, as memory.edn can have it:
 * JSON is compared as what it means.
 */
struct odd {
	struct slice whole;
	bool json;
	bool matched;
	struct hash128 identity; /* of JSON's value */
};

struct odds {
	struct odd *list;
	size_t count, cap;
};

static int odds_add(struct odds *odds, struct slice whole)
{
	if (odds->count == odds->cap) {
		size_t cap = odds->cap ? odds->cap * 2 : 16;
		struct odd *list = reallocarray(odds->list, cap, sizeof(*list));

		if (!list)
			return -ENOMEM;
		odds->list = list;
		odds->cap = cap;
	}
	odds->list[odds->count++] = (struct odd){.whole = whole};
	return 0;
}

/* ---- side by side ---- */

static struct slice part_of(const struct eav_check *check, size_t i)
{
	return eav_datom_part(&check->datoms, &check->datoms.list[i]);
}

static struct slice whole_of(const struct eav_check *check, size_t i)
{
	return eav_datom_whole(&check->datoms, &check->datoms.list[i]);
}

/* One row of "eav"; *at is where the document's datoms have got to. */
static int compare_row(struct eav_check *check, const struct eav_row *row, struct slice part,
	size_t *at, struct odds *lacking, struct odds *extra)
{
	int order = 1;
	int ret = 0;

	while (!ret && *at < check->datoms.count) {
		order = slice_compare(part_of(check, *at), part);
		if (order >= 0)
			break;
		ret = odds_add(lacking, whole_of(check, (*at)++));
	}
	if (ret || *at == check->datoms.count || order > 0)
		return ret ? ret : odds_add(extra, row->whole);
	if (!slice_equal(whole_of(check, *at), row->whole)) {
		ret = odds_add(lacking, whole_of(check, *at));
		if (!ret)
			ret = odds_add(extra, row->whole);
	}
	(*at)++;
	return ret;
}

static int compare_rows(struct eav_check *check, MDB_cursor *cursor, uint64_t number,
	struct odds *lacking, struct odds *extra)
{
	struct eav_row row = {0};
	struct eav_key prefix;
	size_t at = 0;
	int ret;

	eav_key_number(&prefix, number);
	row.key = eav_key_val(&prefix);
	ret = mdb_cursor_get(cursor, &row.key, &row.val, MDB_SET_RANGE);
	while (!ret && slice_starts(eav_slice(row.key), slice_of(prefix.bytes, prefix.len))) {
		struct slice part = eav_slice(row.key);

		part = slice_of(part.ptr + EAV_NUMBER, part.len - EAV_NUMBER);
		/* a row that is damaged is told where all rows are looked at */
		if (!eav_row_decode(EAV_EAV, &row))
			ret = compare_row(check, &row, part, &at, lacking, extra);
		if (ret)
			return ret;
		ret = mdb_cursor_get(cursor, &row.key, &row.val, MDB_NEXT);
	}
	if (ret && ret != MDB_NOTFOUND)
		return env_code(ret);
	for (ret = 0; !ret && at < check->datoms.count; at++)
		ret = odds_add(lacking, whole_of(check, at));
	return ret;
}

/* ---- what is left ---- */

static int identify(struct eav_check *check, struct odd *odd)
{
	struct slice rest = odd->whole;
	struct eav_value value;
	struct slice attribute;
	struct edn edn;
	int ret;

	buf_reset(&check->scratch);
	ret = eav_text_decode(&rest, &check->scratch, &attribute);
	if (!ret && rest.len && (unsigned char)rest.ptr[0] == EAV_JSON)
		ret = eav_value_decode(rest, &check->scratch, &value);
	else
		return ret == -ENOMEM ? ret : 0;
	if (!ret)
		ret = json_read(&check->arena, value.text, EDN_LOAD_DEPTH, &edn, NULL);
	odd->json = !ret;
	if (!ret)
		odd->identity = edn_identity(&edn);
	return ret == -ENOMEM ? ret : 0;
}

/* Up to the value's type: both have the same attribute. */
static bool same_attribute(struct slice a, struct slice b)
{
	static const char END[] = {0, 0, EAV_JSON};
	const char *end = memmem(a.ptr, a.len, END, sizeof(END));
	size_t len = end ? (size_t)(end - a.ptr) + sizeof(END) : a.len;

	return b.len >= len && memcmp(a.ptr, b.ptr, len) == 0;
}

static void match(struct odds *lacking, struct odds *extra)
{
	for (size_t i = 0; i < lacking->count; i++) {
		struct odd *l = &lacking->list[i];

		for (size_t j = 0; l->json && !l->matched && j < extra->count; j++) {
			struct odd *e = &extra->list[j];

			l->matched = e->json && !e->matched &&
				     hash128_equal(l->identity, e->identity) &&
				     same_attribute(l->whole, e->whole);
			e->matched |= l->matched;
		}
	}
}

static int settle(struct eav_check *check, struct odds *lacking, struct odds *extra)
{
	int ret = 0;

	if (!lacking->count || !extra->count)
		return 0;
	for (size_t i = 0; i < lacking->count && !ret; i++)
		ret = identify(check, &lacking->list[i]);
	for (size_t i = 0; i < extra->count && !ret; i++)
		ret = identify(check, &extra->list[i]);
	if (!ret)
		match(lacking, extra);
	return ret;
}

static int tell(struct eav_check *check, enum eav_problem_kind kind, struct slice name,
	uint64_t number, const struct odds *odds, const char *what)
{
	int ret = 0;

	for (size_t i = 0; i < odds->count && !ret; i++)
		if (!odds->list[i].matched)
			ret = eav_check_tell_datom(check, kind, name, number, odds->list[i].whole,
				what);
	return ret;
}

int eav_check_datoms(struct eav_check *check, struct slice name, uint64_t number,
	const struct edn *value)
{
	const struct eav_reader *reader = check->reader;
	struct odds lacking = {0};
	struct odds extra = {0};
	MDB_cursor *cursor;
	int ret = eav_datoms_of(&check->datoms, value);

	if (ret)
		return ret;
	ret = mdb_cursor_open(reader->txn, reader->eav->env.tables[EAV_EAV], &cursor);
	if (ret)
		return env_code(ret);
	ret = compare_rows(check, cursor, number, &lacking, &extra);
	if (!ret)
		ret = settle(check, &lacking, &extra);
	if (!ret)
		ret = tell(check, EAV_DATOM_WITHOUT_INDEX, name, number, &lacking,
			"the document gives a datom that the index by entity lacks");
	if (!ret)
		ret = tell(check, EAV_INDEX_WITHOUT_DATOM, name, number, &extra,
			"the index by entity has a datom that the document does not give");
	mdb_cursor_close(cursor);
	free(lacking.list);
	free(extra.list);
	return ret;
}
