/* SPDX-License-Identifier: MIT */
#include "edn_scan.h"

#include <errno.h>
#include <stdlib.h>

#include "utf8.h"

/* The first form is no map; the reader says whether it is anything. */
static int fail_no_map(struct edn_scanner *s, const char *start, unsigned depth)
{
	struct edn_key form;
	int ret;

	s->at = start;
	s->reader.depth = depth;
	ret = edn_reader_form(&s->reader, &s->at, false, &form);
	return ret ? ret
		   : edn_fail(&s->reader.src, start, "the top level is %s%s, not a map%s",
			     edn_type_article(form.value.type), edn_type_name(form.value.type),
			     utf8_has_byte_order_mark(slice_of(start,
				     (size_t)(s->reader.src.end - start)))
				     ? ": it begins with a byte order mark"
				     : "");
}

/* Past the metadata in front of the map, or nothing. */
static int skip_meta(struct edn_scanner *s, unsigned len)
{
	struct edn_reader *r = &s->reader;
	const char *start = s->at;
	struct edn_key meta;
	int ret = edn_reader_enter(r, start);

	s->at += len;
	if (!ret)
		ret = edn_reader_form(r, &s->at, false, &meta);
	if (ret)
		return ret;
	if (!edn_is_meta(meta.value.type))
		return edn_fail_meta(&r->src, start, meta.value.type);
	return edn_skip_to_form(r, &s->at);
}

/* To the map: past white space, comments, discards, metadata. */
static int find_map(struct edn_scanner *s)
{
	const char *end = s->reader.src.end;
	unsigned depth = s->reader.depth;
	const char *start;
	int ret;

	s->reader.arena = &s->scratch;
	ret = edn_skip_to_form(&s->reader, &s->at);
	start = s->at;
	while (!ret && s->at < end) {
		const char *next = s->at + 1;

		if (*s->at == '{' || (*s->at == '#' && next < end && *next == ':'))
			return 0;
		if (*s->at == '^')
			ret = skip_meta(s, 1);
		else if (*s->at == '#' && next < end && *next == '^')
			ret = skip_meta(s, 2);
		else
			return fail_no_map(s, start, depth);
	}
	return ret ? ret : fail_no_map(s, start, depth);
}

static int scan_map(struct edn_scanner *s, struct edn_map_shape *shape)
{
	int ret = find_map(s);

	edn_scan_note_reader(s);
	if (!ret)
		ret = edn_scan_open_map(s);
	if (ret)
		return ret;
	shape->prefix = s->frames[0].prefix;
	shape->open = s->frames[0].open + 1;
	ret = edn_scan_rest(s);
	if (ret)
		return ret;
	shape->end = edn_scan_offset(s, s->at);
	shape->close = shape->end - 1;
	shape->count = s->entries;
	shape->lenient = s->lenient;
	return 0;
}

void edn_scan_release(struct edn_scanner *s)
{
	while (s->count)
		edn_many_free(s->frames[--s->count].many);
	free(s->frames);
	arena_release(&s->kept);
	arena_release(&s->scratch);
	arena_release(&s->passing);
	edn_reader_release(&s->reader);
}

int edn_scan_map(struct slice text, unsigned base_depth, unsigned max_depth, edn_entry_fn *fn,
	void *context, struct edn_map_shape *shape, struct err *err)
{
	return edn_scan_map_joined(text, base_depth, max_depth, fn, context, NULL, shape, err);
}

int edn_scan_map_joined(struct slice text, unsigned base_depth, unsigned max_depth,
	edn_entry_fn *fn, void *context, struct edn_join *join, struct edn_map_shape *shape,
	struct err *err)
{
	struct edn_scanner s = {.at = text.ptr, .fn = fn, .context = context, .join = join};
	struct edn_map_shape found = {0};
	int ret;

	if (text.len > UINT32_MAX)
		return err_set(err, -EOVERFLOW, "a text of 4 GiB or more");
	edn_reader_init(&s.reader, text, max_depth, err);
	s.reader.depth = base_depth;
	if (join)
		s.reader.seed = join->seed;
	ret = scan_map(&s, &found);
	if (!ret && shape)
		*shape = found;
	edn_scan_release(&s);
	return ret;
}
