/* SPDX-License-Identifier: MIT */
#include "edn_compare.h"
#include "utf8.h"

#include <stdlib.h>

static void print(struct buf *out, const struct edn *v, bool sorted);

/* The bytes that a string can't hold as they are: the escapes of pr-str, and what begins a surrogate. */
static const char *plain_end(const char *at, const char *end)
{
	while (at < end) {
		unsigned char c = (unsigned char)*at;

		if (c == '"' || c == '\\' || c == 0xed || (c >= '\b' && c <= '\r' && c != '\v'))
			break;
		at++;
	}
	return at;
}

/* A surrogate as an escape that reads back (pr-str would write a question mark); others as they are. */
static const char *print_three(struct buf *out, const char *at)
{
	if ((unsigned char)at[1] >= 0xa0) {
		size_t len;

		buf_add_unit(out, utf8_decode(at, &len), "0123456789ABCDEF");
	} else {
		buf_add(out, at, 3);
	}
	return at + 3;
}

static void print_string(struct buf *out, struct slice text)
{
	static const char LETTERS[] = "btn?fr"; /* from \b on */
	const char *at = text.ptr;
	const char *end = at + text.len;

	buf_add_char(out, '"');
	while (at < end) {
		const char *stop = plain_end(at, end);

		if (stop > at)
			buf_add(out, at, (size_t)(stop - at));
		at = stop;
		if (at == end)
			break;
		if ((unsigned char)*at == 0xed) {
			at = print_three(out, at);
			continue;
		}
		buf_add_char(out, '\\');
		buf_add_char(out, (unsigned char)*at < ' ' ? LETTERS[*at - '\b'] : *at);
		at++;
	}
	buf_add_char(out, '"');
}

static void print_char(struct buf *out, uint32_t unit)
{
	static const char *const NAMES[] = {
		"backspace", "tab", "newline", NULL, "formfeed", "return"};
	char text[UTF8_MAX_BYTES];

	buf_add_char(out, '\\');
	if (unit == ' ')
		buf_add_str(out, "space");
	else if (unit >= '\b' && unit <= '\r' && unit != '\v')
		buf_add_str(out, NAMES[unit - '\b']);
	else if (utf8_is_surrogate(unit)) /* no EDN can say it, but nothing else is said either */
		buf_add_format(out, "u%04X", unit);
	else
		buf_add(out, text, utf8_encode(text, unit));
}

static void print_leaf(struct buf *out, const struct edn *v)
{
	switch ((enum edn_type)v->type) {
	case EDN_NIL:
		buf_add_str(out, "nil");
		return;
	case EDN_BOOL:
		buf_add_str(out, v->integer ? "true" : "false");
		return;
	case EDN_INT:
		buf_add_integer(out, v->integer);
		return;
	case EDN_DOUBLE:
		edn_print_double(out, v->real);
		return;
	case EDN_CHAR:
		print_char(out, (uint32_t)v->integer);
		return;
	case EDN_STRING:
		print_string(out, edn_text(v));
		return;
	case EDN_KEYWORD:
		buf_add_char(out, ':');
		break;
	default:
		break;
	}
	buf_add_slice(out, edn_text(v));
	if (v->type == EDN_BIGINT || v->type == EDN_DECIMAL)
		buf_add_char(out, v->type == EDN_BIGINT ? 'N' : 'M');
}

/* An item or entry that is printed already, and the part of it that says its place. */
struct piece {
	size_t start;
	size_t key_len;
	size_t len;
};

static int by_key(const void *a, const void *b, void *text)
{
	const struct piece *x = a;
	const struct piece *y = b;

	return slice_compare(slice_of((char *)text + x->start, x->key_len),
		slice_of((char *)text + y->start, y->key_len));
}

static struct piece print_piece(struct buf *out, const struct edn *item, bool map, bool sorted)
{
	struct piece piece = {.start = out->len};

	print(out, item, sorted);
	piece.key_len = out->len - piece.start;
	if (map) {
		buf_add_char(out, ' ');
		print(out, item + 1, sorted);
	}
	piece.len = out->len - piece.start;
	return piece;
}

/* Puts the pieces, which fill out's end from base on, in the order of their keys. */
static void rearrange(struct buf *out, size_t base, struct piece *pieces, size_t count,
	const char *separator)
{
	char *copy = malloc(out->len - base);
	size_t i;

	if (!copy) {
		out->failed = true;
		return;
	}
	qsort_r(pieces, count, sizeof(*pieces), by_key, out->ptr);
	memcpy(copy, out->ptr + base, out->len - base);
	out->len = base;
	for (i = 0; i < count; i++) {
		if (i)
			buf_add_str(out, separator);
		buf_add(out, copy + (pieces[i].start - base), pieces[i].len);
	}
	free(copy);
}

static void print_sorted(struct buf *out, const struct edn *v, const char *separator)
{
	bool map = v->type == EDN_MAP;
	struct piece *pieces = malloc(v->count * sizeof(*pieces));
	size_t base = out->len;
	size_t i;

	if (!pieces) {
		out->failed = true;
		return;
	}
	for (i = 0; i < v->count; i++)
		pieces[i] = print_piece(out, &v->items[i * (map ? 2 : 1)], map, true);
	if (!out->failed)
		rearrange(out, base, pieces, v->count, separator);
	free(pieces);
}

static void print_items(struct buf *out, const struct edn *v, bool sorted)
{
	bool map = v->type == EDN_MAP;
	const char *separator = map ? ", " : " ";
	size_t i;

	if (sorted && v->count > 1 && (map || v->type == EDN_SET)) {
		print_sorted(out, v, separator);
		return;
	}
	for (i = 0; i < v->count; i++) {
		if (i)
			buf_add_str(out, separator);
		print_piece(out, &v->items[i * (map ? 2 : 1)], map, sorted);
	}
}

static void print(struct buf *out, const struct edn *v, bool sorted)
{
	static const char *const OPEN[] = {"(", "[", "{", "#{"};
	static const char CLOSE[] = ")]}}";

	if (v->type == EDN_TAGGED) {
		buf_add_char(out, '#');
		buf_add_slice(out, edn_text(&v->items[0]));
		buf_add_char(out, ' ');
		print(out, &v->items[1], sorted);
	} else if (v->type >= EDN_LIST) {
		buf_add_str(out, OPEN[v->type - EDN_LIST]);
		print_items(out, v, sorted);
		buf_add_char(out, CLOSE[v->type - EDN_LIST]);
	} else {
		print_leaf(out, v);
	}
}

void edn_print(struct buf *out, const struct edn *v)
{
	print(out, v, false);
}

void edn_print_canonical(struct buf *out, const struct edn *v)
{
	print(out, v, true);
}
