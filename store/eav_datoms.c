/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>
#include <stdlib.h>

/* The datom's bytes are at the end of bytes, from start on: cuts its part of the key behind it. */
static int end_datom(struct eav_datoms *d, size_t start)
{
	struct eav_new_datom *datom;
	struct slice part;
	char cut[EAV_KEY_MAX];

	if (buf_error(&d->bytes))
		return -ENOMEM;
	if (d->count == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 32;
		struct eav_new_datom *list = reallocarray(d->list, cap, sizeof(*list));

		if (!list)
			return -ENOMEM;
		d->list = list;
		d->cap = cap;
	}
	if (d->bytes.len - start > UINT32_MAX)
		return -EOVERFLOW;
	datom = &d->list[d->count++];
	*datom = (struct eav_new_datom){
		.datom = start, .datom_len = (uint32_t)(d->bytes.len - start)};
	part = eav_cut(slice_of(d->bytes.ptr + start, datom->datom_len), EAV_DATOM_CUT, cut);
	datom->part_len = (uint16_t)part.len;
	datom->cut = part.ptr == cut;
	if (datom->cut)
		buf_add_slice(&d->bytes, part);
	return buf_error(&d->bytes);
}

/* ---- one attribute ---- */

static bool is_scalar(const struct edn *v)
{
	struct eav_value value;

	return v->type < EDN_LIST || eav_value_of_edn(v, &value);
}

/* May each of its elements be a datom? */
static bool is_many(const struct edn *v)
{
	if ((v->type != EDN_SET && v->type != EDN_VECTOR && v->type != EDN_LIST) || !v->count ||
		v->count > EAV_MANY_MAX)
		return false;
	for (uint32_t i = 0; i < v->count; i++)
		if (!is_scalar(&v->items[i]))
			return false;
	return true;
}

static int add_value(struct eav_datoms *d, struct slice attribute, const struct edn *v)
{
	size_t start = d->bytes.len;
	struct eav_value value;

	buf_add_slice(&d->bytes, attribute);
	if (eav_value_of_edn(v, &value))
		eav_value_encode(&d->bytes, &value);
	else
		eav_json_encode(&d->bytes, v);
	return end_datom(d, start);
}

/* Of all attributes together, so that it does not depend on their order. */
static bool has_few_elements(const struct edn *map)
{
	size_t elements = 0;

	for (size_t i = 0; i < map->count && elements <= EAV_MANY_MAX; i++) {
		const struct edn *v = &map->items[2 * i + 1];

		elements += is_many(v) ? v->count : 0;
	}
	return elements <= EAV_MANY_MAX;
}

static int add_attribute(struct eav_datoms *d, const struct edn *key, const struct edn *v,
	bool many)
{
	int ret;

	many = many && is_many(v);
	buf_reset(&d->text);
	buf_reset(&d->attribute);
	edn_print_canonical(&d->text, key);
	eav_text_encode(&d->attribute, buf_slice(&d->text));
	ret = buf_error(&d->text) ? -ENOMEM : buf_error(&d->attribute);
	for (uint32_t i = 0; !ret && i < (many ? v->count : 1); i++)
		ret = add_value(d, buf_slice(&d->attribute), many ? &v->items[i] : v);
	return ret;
}

/* ---- all of them ---- */

static int by_part(const void *a, const void *b, void *datoms)
{
	return slice_compare(eav_datom_part(datoms, a), eav_datom_part(datoms, b));
}

/* From there on. The elements of a vector can be equal. */
static void drop_equal(struct eav_datoms *d, size_t from)
{
	size_t kept = from;

	for (size_t i = from; i < d->count; i++) {
		if (kept > from && by_part(&d->list[kept - 1], &d->list[i], d) == 0)
			continue;
		d->list[kept++] = d->list[i];
	}
	d->count = kept;
}

int eav_datoms_add(struct eav_datoms *d, const struct edn *value)
{
	size_t from = d->count;
	bool many;
	int ret = 0;

	if (!value || value->type != EDN_MAP || value->count > EAV_MANY_MAX)
		return 0;
	many = has_few_elements(value);
	for (size_t i = 0; i < value->count && !ret; i++)
		ret = add_attribute(d, &value->items[2 * i], &value->items[2 * i + 1], many);
	if (ret)
		return ret;
	if (d->count > from)
		qsort_r(d->list + from, d->count - from, sizeof(*d->list), by_part, d);
	drop_equal(d, from);
	return 0;
}

int eav_datoms_of(struct eav_datoms *d, const struct edn *value)
{
	buf_reset(&d->bytes);
	d->count = 0;
	return eav_datoms_add(d, value);
}

void eav_datoms_release(struct eav_datoms *d)
{
	buf_release(&d->bytes);
	buf_release(&d->text);
	buf_release(&d->attribute);
	free(d->list);
	*d = (struct eav_datoms){0};
}
