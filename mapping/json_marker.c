/* SPDX-License-Identifier: MIT */
#include "edn_token.h"
#include "json_internal.h"

#include <errno.h>
#include <math.h>

static struct edn text_value(enum edn_type type, struct slice text)
{
	return (struct edn){.type = (uint8_t)type, .count = (uint32_t)text.len, .text = text.ptr};
}

/*
 * Lets the EDN reader judge the three texts in a row. Only one form that begins at the first byte and
 * ends at the last is taken: blanks, comments and discards around it are no part of a payload. One level of
 * nesting is the tag before it: there are no collections in a payload, however long it is.
 */
static int read_as_edn(struct arena *arena, const char *before, struct slice text,
	const char *after, struct edn *value, struct err *cause)
{
	size_t head = strlen(before);
	size_t tail = strlen(after);
	size_t len = head + text.len + tail;
	size_t end = 0;
	char *all = arena_alloc(arena, len);
	int ret;

	if (!all)
		return err_set(cause, -ENOMEM, "no memory");
	memcpy(all, before, head);
	if (text.len)
		memcpy(all + head, text.ptr, text.len);
	memcpy(all + head + text.len, after, tail);
	ret = edn_read(arena, slice_of(all, len), *before != '\0', value, &end, cause);
	if (ret)
		return ret;
	if (end != len)
		return err_set(cause, -EBADMSG, "more than one EDN form");
	return 0;
}

static bool is_printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			return false;
	return utf8_is_valid(text);
}

static int bad_payload(struct err *err, const char *what, struct slice text)
{
	size_t shown = text.len > 40 ? 40 : text.len;

	while (shown > 0 && shown < text.len && utf8_is_continuation(text.ptr[shown]))
		shown--;
	if (!is_printable(slice_of(text.ptr, shown)))
		return err_set(err, -EBADMSG, "%s can't be this text", what);
	return err_set(err, -EBADMSG, "%s can't be \"%.*s%s\"", what, (int)shown, text.ptr,
		shown < text.len ? "..." : "");
}

static int read_int(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	struct slice digits = text;
	struct json_number number;
	bool big = text.len && text.ptr[text.len - 1] == 'N';

	(void)arena;
	digits.len -= big;
	if (json_number_scan(digits, &number) != JSON_WHOLE || number.len != digits.len ||
		!number.integer)
		return bad_payload(err, "#int", text);
	*value = json_integer_value(digits, big);
	return 0;
}

static int read_float(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	struct json_number number;
	double real;
	int ret;

	(void)arena;
	if (slice_equal(text, SLICE_LITERAL("NaN"))) {
		real = NAN;
	} else if (slice_equal(text, SLICE_LITERAL("Inf"))) {
		real = INFINITY;
	} else if (slice_equal(text, SLICE_LITERAL("-Inf"))) {
		real = -INFINITY;
	} else if (json_number_scan(text, &number) != JSON_WHOLE || number.len != text.len) {
		return bad_payload(err, "#float", text);
	} else {
		ret = json_double_value(text, &real);
		if (ret == -ERANGE)
			return bad_payload(err, "#float overflows: it", text);
		if (ret)
			return err_set(err, ret, "no memory");
	}
	*value = (struct edn){.type = EDN_DOUBLE, .real = real};
	return 0;
}

/* A number of a kind that only EDN has: its text begins with a digit or a minus. */
static int read_number(struct arena *arena, struct slice text, const char *suffix,
	enum edn_type type, const char *name, struct edn *value, struct err *err)
{
	struct err cause = {0};
	int ret;

	if (!text.len || (text.ptr[0] != '-' && (text.ptr[0] < '0' || text.ptr[0] > '9')))
		return bad_payload(err, name, text);
	ret = read_as_edn(arena, "", text, suffix, value, &cause);
	if (ret && ret != -EBADMSG)
		return err_set(err, ret, "%s", cause.text);
	if (ret || value->type != type)
		return bad_payload(err, name, text);
	return 0;
}

static int read_dec(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	return read_number(arena, text, "M", EDN_DECIMAL, "#dec", value, err);
}

static int read_ratio(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	return read_number(arena, text, "", EDN_RATIO, "#ratio", value, err);
}

static int read_char(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	uint32_t point = 0;
	size_t len = 0;

	(void)arena;
	if (text.len)
		point = utf8_decode(text.ptr, &len);
	if (!text.len || len != text.len)
		return bad_payload(err, "#char is one character: it", text);
	if (point > 0xffff || utf8_is_surrogate(point))
		return err_set(err, -EBADMSG, "#char is one UTF-16 unit and no surrogate");
	*value = (struct edn){.type = EDN_CHAR, .integer = point};
	return 0;
}

bool json_symbol_read(struct arena *arena, struct slice text, struct edn *symbol)
{
	return !read_as_edn(arena, "", text, "", symbol, NULL) && symbol->type == EDN_SYMBOL &&
	       slice_equal(edn_text(symbol), text);
}

static int read_sym(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	return json_symbol_read(arena, text, value) ? 0 : bad_payload(err, "#sym", text);
}

static int read_kw(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	struct edn keyword = text_value(EDN_KEYWORD, text);

	(void)arena;
	keyword.lenient = !json_is_keyword(text);
	if (keyword.lenient && !edn_is_lenient_keyword(text))
		return bad_payload(err, "#kw", text);
	*value = keyword;
	return 0;
}

static int read_inst(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	return json_known_tag_read(arena, SLICE_LITERAL("inst"), text, value, err);
}

static int read_uuid(struct arena *arena, struct slice text, struct edn *value, struct err *err)
{
	return json_known_tag_read(arena, SLICE_LITERAL("uuid"), text, value, err);
}

int json_known_tag_read(struct arena *arena, struct slice tag, struct slice text, struct edn *value,
	struct err *err)
{
	struct edn string = text_value(EDN_STRING, text);
	struct err cause = {0};
	struct edn_source src = {text.ptr, text.ptr + text.len, &cause};
	struct edn *items = arena_alloc(arena, 2 * sizeof(*items));
	int ret;

	if (!items)
		return err_set(err, -ENOMEM, "no memory");
	items[0] = text_value(EDN_SYMBOL, tag);
	ret = tag.ptr[0] == 'i' ? edn_read_instant(&src, text.ptr, arena, &string, &items[1])
				: edn_read_uuid(&src, text.ptr, arena, &string, &items[1]);
	if (ret == -EBADMSG)
		return err_set(err, ret, "#%.4s: %s", tag.ptr, cause.text);
	if (ret)
		return err_set(err, ret, "no memory");
	*value = (struct edn){.type = EDN_TAGGED, .count = 2, .items = items};
	return 0;
}

static const struct json_marker markers[] = {
	{"int", JSON_TEXT, EDN_INT, read_int},
	{"float", JSON_TEXT, EDN_DOUBLE, read_float},
	{"dec", JSON_TEXT, EDN_DECIMAL, read_dec},
	{"ratio", JSON_TEXT, EDN_RATIO, read_ratio},
	{"char", JSON_TEXT, EDN_CHAR, read_char},
	{"sym", JSON_TEXT, EDN_SYMBOL, read_sym},
	{"kw", JSON_TEXT, EDN_KEYWORD, read_kw},
	{"inst", JSON_TEXT, EDN_TAGGED, read_inst},
	{"uuid", JSON_TEXT, EDN_TAGGED, read_uuid},
	{"set", JSON_ITEMS, EDN_SET, NULL},
	{"list", JSON_ITEMS, EDN_LIST, NULL},
	{"map", JSON_PAIRS, EDN_MAP, NULL},
	{"tag", JSON_TAG, EDN_TAGGED, NULL},
};

static const struct json_marker any_tag = {"", JSON_ANY, EDN_TAGGED, NULL};

const struct json_marker *json_marker_find(struct slice name)
{
	for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++)
		if (slice_equal(slice_str(markers[i].name), name))
			return &markers[i];
	return NULL;
}

const struct json_marker *json_marker_of_key(struct slice key)
{
	const struct json_marker *marker;
	struct slice name;

	if (key.len < 2 || key.ptr[0] != '#')
		return NULL;
	name = slice_of(key.ptr + 1, key.len - 1);
	marker = json_marker_find(name);
	if (marker)
		return marker;
	return edn_is_symbol(name) ? &any_tag : NULL;
}

bool json_tag_is_plain(struct slice tag)
{
	const struct json_marker *marker = json_marker_find(tag);

	if (marker)
		return marker->type == EDN_TAGGED && marker->payload == JSON_TEXT;
	return edn_is_symbol(tag);
}

bool json_tag_read(struct arena *arena, struct slice text, struct edn *symbol)
{
	struct edn tagged;

	if (text.len && (text.ptr[0] | 0x20) >= 'a' && (text.ptr[0] | 0x20) <= 'z' &&
		edn_is_symbol(text)) {
		*symbol = text_value(EDN_SYMBOL, text);
		return true;
	}
	if (read_as_edn(arena, "#", text, " nil", &tagged, NULL) || tagged.type != EDN_TAGGED ||
		!slice_equal(edn_text(&tagged.items[0]), text))
		return false;
	*symbol = tagged.items[0];
	return true;
}
