/* SPDX-License-Identifier: MIT */
#include "json_internal.h"

struct printer {
	struct buf *out;
	unsigned indent;
	size_t *room; /* for blanks of indentation; none left: what follows is not printed. NULL: any number */
};

static bool is_stopped(const struct printer *p)
{
	return (p->room && !*p->room) || p->out->failed;
}

/* Everything here recurses as deep as the value nests, which its reader has bounded. */
static void print_value(const struct printer *p, const struct edn *v, unsigned depth);

static void new_line(const struct printer *p, unsigned depth)
{
	size_t blanks = (size_t)depth * p->indent;
	char *to;

	if (!p->indent || is_stopped(p))
		return;
	if (p->room)
		*p->room -= blanks < *p->room ? blanks : *p->room;
	to = buf_reserve(p->out, 1 + blanks);
	if (!to)
		return;
	to[0] = '\n';
	memset(to + 1, ' ', blanks);
	p->out->len += 1 + blanks;
}

static void begin_item(const struct printer *p, bool first, unsigned depth)
{
	if (!first)
		buf_add_char(p->out, ',');
	new_line(p, depth);
}

static void end_key(const struct printer *p)
{
	buf_add(p->out, "\": ", p->indent ? 3 : 2);
}

static void print_string(const struct printer *p, const char *prefix, struct slice text)
{
	buf_add_char(p->out, '"');
	buf_add_str(p->out, prefix);
	json_string_print(p->out, text);
	buf_add_char(p->out, '"');
}

/* ---- markers: {"#name": payload} ---- */

static void open_marker(const struct printer *p, struct slice name, unsigned depth)
{
	buf_add_char(p->out, '{');
	new_line(p, depth + 1);
	buf_add(p->out, "\"#", 2);
	json_string_print(p->out, name);
	end_key(p);
}

static void close_marker(const struct printer *p, unsigned depth)
{
	new_line(p, depth);
	buf_add_char(p->out, '}');
}

static void print_text_marker(const struct printer *p, const char *name, struct slice text,
	unsigned depth)
{
	open_marker(p, slice_str(name), depth);
	print_string(p, "", text);
	close_marker(p, depth);
}

/* ---- scalars ---- */

static void print_int(const struct printer *p, int64_t integer, unsigned depth)
{
	const int64_t limit = ((int64_t)1 << JSON_INTEGER_BITS) - 1;
	bool plain = integer >= -limit && integer <= limit;

	if (plain) {
		buf_add_integer(p->out, integer);
		return;
	}
	open_marker(p, SLICE_LITERAL("int"), depth);
	buf_add_char(p->out, '"');
	buf_add_integer(p->out, integer);
	buf_add_char(p->out, '"');
	close_marker(p, depth);
}

static void print_bigint(const struct printer *p, struct slice digits, unsigned depth)
{
	open_marker(p, SLICE_LITERAL("int"), depth);
	buf_add_char(p->out, '"');
	buf_add_slice(p->out, digits);
	buf_add_str(p->out, "N\"");
	close_marker(p, depth);
}

static void print_double(const struct printer *p, double real, unsigned depth)
{
	size_t start;
	size_t symbolic;

	if (json_double_print(p->out, real))
		return;
	open_marker(p, SLICE_LITERAL("float"), depth);
	buf_add_char(p->out, '"');
	start = p->out->len;
	edn_print_double(p->out, real);
	symbolic = p->out->failed || p->out->ptr[start] != '#' ? 0 : 2;
	if (symbolic) { /* ##NaN is "NaN" */
		p->out->len -= symbolic;
		memmove(p->out->ptr + start, p->out->ptr + start + symbolic, p->out->len - start);
	}
	buf_add_char(p->out, '"');
	close_marker(p, depth);
}

static void print_char(const struct printer *p, int64_t unit, unsigned depth)
{
	char text[UTF8_MAX_BYTES];
	size_t len = utf8_encode(text, (uint32_t)unit);

	print_text_marker(p, "char", slice_of(text, len), depth);
}

static void print_keyword(const struct printer *p, struct slice text, unsigned depth)
{
	if (json_is_keyword(text))
		print_string(p, ":", text);
	else
		print_text_marker(p, "kw", text, depth);
}

static void print_text(const struct printer *p, struct slice text)
{
	bool marked = text.len && (text.ptr[0] == ':' || text.ptr[0] == '\'');

	print_string(p, marked && json_reads_as_keyword(text) ? "'" : "", text);
}

/* ---- collections ---- */

static void print_items(const struct printer *p, const struct edn *v, unsigned depth)
{
	buf_add_char(p->out, '[');
	for (uint32_t i = 0; i < v->count && !is_stopped(p); i++) {
		begin_item(p, i == 0, depth + 1);
		print_value(p, &v->items[i], depth + 1);
	}
	if (v->count)
		new_line(p, depth);
	buf_add_char(p->out, ']');
}

static void print_marked_items(const struct printer *p, const char *name, const struct edn *v,
	unsigned depth)
{
	open_marker(p, slice_str(name), depth);
	print_items(p, v, depth + 1);
	close_marker(p, depth);
}

static void print_key(const struct printer *p, const struct edn *key)
{
	const char *prefix = json_key_prefix(key);
	struct buf text = {.max = p->out->max};

	buf_add_char(p->out, '"');
	if (prefix) {
		buf_add_str(p->out, prefix);
		json_string_print(p->out, edn_text(key));
	} else {
		json_key_print(&text, key);
		json_string_print(p->out, buf_slice(&text));
		p->out->full |= text.full && !p->out->failed;
		p->out->failed |= text.failed;
		buf_release(&text);
	}
	end_key(p);
}

/* [key, value] */
static void print_pair(const struct printer *p, const struct edn pair[2], unsigned depth)
{
	struct edn v = {.type = EDN_VECTOR, .count = 2, .items = pair};

	print_items(p, &v, depth);
}

/* A map of one entry that would be taken for a marker. */
static void print_map_pair(const struct printer *p, const struct edn *map, unsigned depth)
{
	open_marker(p, SLICE_LITERAL("map"), depth);
	buf_add_char(p->out, '[');
	new_line(p, depth + 2);
	print_pair(p, map->items, depth + 2);
	new_line(p, depth + 1);
	buf_add_char(p->out, ']');
	close_marker(p, depth);
}

static void print_map(const struct printer *p, const struct edn *map, unsigned depth)
{
	if (map->count == 1 && map->items[0].type == EDN_SYMBOL &&
		edn_is_symbol(edn_text(&map->items[0]))) {
		print_map_pair(p, map, depth);
		return;
	}
	buf_add_char(p->out, '{');
	for (uint32_t i = 0; i < map->count && !is_stopped(p); i++) {
		begin_item(p, i == 0, depth + 1);
		print_key(p, &map->items[2 * (size_t)i]);
		print_value(p, &map->items[2 * (size_t)i + 1], depth + 1);
	}
	if (map->count)
		new_line(p, depth);
	buf_add_char(p->out, '}');
}

static bool is_known_tag(struct slice tag)
{
	return slice_equal(tag, SLICE_LITERAL("inst")) || slice_equal(tag, SLICE_LITERAL("uuid"));
}

static void print_tagged(const struct printer *p, const struct edn items[2], unsigned depth)
{
	struct slice tag = edn_text(&items[0]);

	if (!json_tag_is_plain(tag)) {
		open_marker(p, SLICE_LITERAL("tag"), depth);
		buf_add_char(p->out, '[');
		new_line(p, depth + 2);
		print_string(p, "", tag);
		begin_item(p, false, depth + 2);
		print_value(p, &items[1], depth + 2);
		new_line(p, depth + 1);
		buf_add_char(p->out, ']');
	} else {
		open_marker(p, tag, depth);
		if (is_known_tag(tag) && items[1].type == EDN_STRING)
			print_string(p, "", edn_text(&items[1]));
		else
			print_value(p, &items[1], depth + 1);
	}
	close_marker(p, depth);
}

static void print_value(const struct printer *p, const struct edn *v, unsigned depth)
{
	switch ((enum edn_type)v->type) {
	case EDN_NIL:
		buf_add(p->out, "null", 4);
		return;
	case EDN_BOOL:
		buf_add_str(p->out, v->integer ? "true" : "false");
		return;
	case EDN_INT:
		print_int(p, v->integer, depth);
		return;
	case EDN_BIGINT:
		print_bigint(p, edn_text(v), depth);
		return;
	case EDN_DOUBLE:
		print_double(p, v->real, depth);
		return;
	case EDN_DECIMAL:
		print_text_marker(p, "dec", edn_text(v), depth);
		return;
	case EDN_RATIO:
		print_text_marker(p, "ratio", edn_text(v), depth);
		return;
	case EDN_CHAR:
		print_char(p, v->integer, depth);
		return;
	case EDN_STRING:
		print_text(p, edn_text(v));
		return;
	case EDN_SYMBOL:
		print_text_marker(p, "sym", edn_text(v), depth);
		return;
	case EDN_KEYWORD:
		print_keyword(p, edn_text(v), depth);
		return;
	case EDN_LIST:
		print_marked_items(p, "list", v, depth);
		return;
	case EDN_VECTOR:
		print_items(p, v, depth);
		return;
	case EDN_SET:
		print_marked_items(p, "set", v, depth);
		return;
	case EDN_MAP:
		print_map(p, v, depth);
		return;
	case EDN_TAGGED:
		print_tagged(p, v->items, depth);
		return;
	}
}

void json_print(struct buf *out, const struct edn *v, unsigned indent)
{
	struct printer p = {.out = out, .indent = indent};

	print_value(&p, v, 0);
}

void json_print_document(struct buf *out, const struct edn *v)
{
	size_t start = out->len;
	size_t room = JSON_INDENTATION_MAX;
	struct printer p = {.out = out, .indent = 2, .room = &room};

	print_value(&p, v, 0);
	if (out->full || (!room && !out->failed)) {
		out->len = start;
		out->failed = out->full = false;
		json_print(out, v, 0);
	}
	buf_add_char(out, '\n');
}
