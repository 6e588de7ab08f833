/* SPDX-License-Identifier: MIT */
#include "json_internal.h"

#include <errno.h>

static struct slice rest(const struct json_reader *r)
{
	return slice_of(r->text.ptr + r->at, r->text.len - r->at);
}

void json_skip_space(struct json_reader *r)
{
	const char *p = r->text.ptr;

	while (r->at < r->text.len &&
		(p[r->at] == ' ' || p[r->at] == '\n' || p[r->at] == '\t' || p[r->at] == '\r'))
		r->at++;
}

/* The string at r->at, unescaped. */
int json_read_string(struct json_reader *r, struct slice *text)
{
	struct json_string string;
	enum json_scan scan = json_string_scan(rest(r), &string);

	if (scan == JSON_CUT)
		return json_fail_cut(r);
	if (scan == JSON_BAD)
		return json_fail(r, r->at + string.len, "%s", string.cause);
	if (json_string_text(r->arena, rest(r), &string, text))
		return json_fail_memory(r);
	r->at += string.len;
	return 0;
}

/* Is a string that stands here the text of a marker, and not a value? */
static bool is_payload_text(struct json_reader *r)
{
	const struct json_frame *frame = json_top(r);
	size_t before = frame ? r->stack.count - frame->first : 0;

	if (!frame)
		return false;
	if (frame->object)
		return before == 1 && frame->marker && frame->marker->payload == JSON_TEXT;
	return before == 0 && frame->role == JSON_TAG_PAIR;
}

static int read_text(struct json_reader *r)
{
	struct edn value = {.type = EDN_STRING};
	struct slice text;
	int ret = json_read_string(r, &text);

	if (ret)
		return ret;
	if (is_payload_text(r)) {
		value.text = text.ptr;
		value.count = (uint32_t)text.len;
	} else {
		value = json_text_value(text);
	}
	return json_push_value(r, value);
}

static int fail_overflow(struct json_reader *r, const struct json_number *number)
{
	bool ends = number->len == r->text.len - r->at;

	if (ends && !number->growing) /* [1e-3, say, with 400 digits before the e */
		return json_fail_cut(r);
	return json_fail(r, r->at, "a number too large for a double");
}

static int read_number(struct json_reader *r)
{
	struct json_number number;
	enum json_scan scan = json_number_scan(rest(r), &number);
	struct slice token = slice_of(r->text.ptr + r->at, number.len);
	struct edn value = {.type = EDN_DOUBLE};
	int ret;

	if (scan == JSON_CUT)
		return json_fail_cut(r);
	if (scan == JSON_BAD)
		return json_fail(r, r->at + number.len, "%s", number.cause);
	if (number.integer && !slice_equal(token, SLICE_LITERAL("-0"))) {
		value = json_integer_value(token, false);
	} else {
		ret = json_double_value(token, &value.real);
		if (ret == -ERANGE)
			return fail_overflow(r, &number);
		if (ret)
			return json_fail_memory(r);
	}
	r->at += number.len;
	return json_push_value(r, value);
}

static int fail_no_value(struct json_reader *r)
{
	return json_fail(r, r->at, "a JSON value must stand here%s",
		utf8_has_byte_order_mark(rest(r)) ? ", not a byte order mark" : "");
}

static int read_word(struct json_reader *r, struct slice word, struct edn value)
{
	struct slice here = rest(r);
	size_t same = 1;

	while (same < word.len && same < here.len && here.ptr[same] == word.ptr[same])
		same++;
	if (same < word.len && same == here.len)
		return json_fail_cut(r);
	if (same < word.len)
		return fail_no_value(r);
	r->at += word.len;
	return json_push_value(r, value);
}

int json_read_scalar(struct json_reader *r)
{
	char c = r->text.ptr[r->at];

	switch (c) {
	case '"':
		return read_text(r);
	case 'n':
		return read_word(r, SLICE_LITERAL("null"), (struct edn){.type = EDN_NIL});
	case 't':
		return read_word(r, SLICE_LITERAL("true"),
			(struct edn){.type = EDN_BOOL, .integer = 1});
	case 'f':
		return read_word(r, SLICE_LITERAL("false"), (struct edn){.type = EDN_BOOL});
	default:
		if (c == '-' || (c >= '0' && c <= '9'))
			return read_number(r);
		return fail_no_value(r);
	}
}
