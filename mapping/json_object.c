/* SPDX-License-Identifier: MIT */
#include "json_internal.h"

#include <errno.h>

/*
 * What an object stands for is known at its end: a map, or with one key that is a marker the value
 * that it marks. Errors about what is inside are placed by walking the text again, so that the
 * common case keeps no offsets.
 */

static size_t skip_space(struct slice text, size_t at)
{
	while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t' ||
					text.ptr[at] == '\n' || text.ptr[at] == '\r'))
		at++;
	return at;
}

static size_t skip_string(struct slice text, size_t at)
{
	struct json_string string;

	json_string_scan(slice_of(text.ptr + at, text.len - at), &string);
	return at + string.len;
}

size_t json_child_offset(struct slice text, size_t open, size_t index)
{
	size_t at = open + 1;
	size_t depth = 0;

	while (index > 0 && at < text.len) {
		char c = text.ptr[at];

		if (c == '"') {
			at = skip_string(text, at);
			continue;
		}
		depth += c == '[' || c == '{';
		depth -= c == ']' || c == '}';
		index -= depth == 0 && c == ',';
		at++;
	}
	return skip_space(text, at);
}

size_t json_member_offset(struct slice text, size_t key)
{
	size_t colon = skip_space(text, skip_string(text, key));

	return skip_space(text, colon + 1);
}

int json_object_check_keys(struct json_reader *r, const struct json_frame *frame,
	const struct edn *items, size_t keys)
{
	size_t found;
	int ret = json_find_duplicate(&r->hashes, items, keys, 2, &found);

	if (ret < 0)
		return json_fail_memory(r);
	if (!ret)
		return 0;
	return json_fail(r, json_child_offset(r->text, frame->offset, found), "duplicate key");
}

/* ---- markers ---- */

/* Where a marker's payload stands. */
static size_t payload_offset(const struct json_reader *r, const struct json_frame *frame)
{
	return json_member_offset(r->text, json_child_offset(r->text, frame->offset, 0));
}

static int fail_payload(struct json_reader *r, const struct json_frame *frame, const char *wanted)
{
	return json_fail(r, payload_offset(r, frame), "#%s needs %s", frame->marker->name, wanted);
}

static int close_text(struct json_reader *r, const struct json_frame *frame,
	const struct edn *payload, struct edn *value)
{
	struct err cause = {0};
	int ret;

	if (payload->type != EDN_STRING)
		return fail_payload(r, frame, "a string");
	ret = frame->marker->read(r->arena, edn_text(payload), value, &cause);
	if (ret == -EBADMSG)
		return json_fail(r, payload_offset(r, frame), "%s", cause.text);
	if (ret)
		return json_fail_memory(r);
	r->stack.taken += edn_item_count(value);
	return 0;
}

static int close_items(struct json_reader *r, const struct json_frame *frame,
	const struct edn *payload, struct edn *value)
{
	size_t found;
	int ret = 0;

	if (payload->type != EDN_VECTOR)
		return fail_payload(r, frame, "an array");
	if (frame->marker->type == EDN_SET)
		ret = json_find_duplicate(&r->hashes, payload->items, payload->count, 1, &found);
	if (ret < 0)
		return json_fail_memory(r);
	if (ret)
		return json_fail(r, json_child_offset(r->text, payload_offset(r, frame), found),
			"duplicate element of a set");
	*value = *payload;
	value->type = frame->marker->type;
	return 0;
}

static int close_pairs(struct json_reader *r, const struct json_frame *frame,
	const struct edn *payload, struct edn *value)
{
	struct edn *items = NULL;
	size_t found;
	int ret;

	if (payload->type != EDN_VECTOR)
		return fail_payload(r, frame, "an array of [key, value]");
	if (payload->count)
		items = arena_alloc(r->arena, payload->count * 2 * sizeof(*items));
	if (payload->count && !items)
		return json_fail_memory(r);
	for (size_t i = 0; i < payload->count; i++) {
		if (payload->items[i].type != EDN_VECTOR || payload->items[i].count != 2)
			return json_fail(r, json_child_offset(r->text, payload_offset(r, frame), i),
				"#map needs [key, value] here");
		memcpy(items + 2 * i, payload->items[i].items, 2 * sizeof(*items));
	}
	ret = json_find_duplicate(&r->hashes, items, payload->count, 2, &found);
	if (ret < 0)
		return json_fail_memory(r);
	if (ret)
		return json_fail(r, json_child_offset(r->text, payload_offset(r, frame), found),
			"duplicate key");
	*value = (struct edn){.type = EDN_MAP, .count = payload->count, .items = items};
	return 0;
}

static bool is_known_tag(struct slice tag)
{
	const struct json_marker *marker = json_marker_find(tag);

	return marker && marker->payload == JSON_TEXT && marker->type == EDN_TAGGED;
}

/* A tag and its value, both good by themselves. */
static int make_tagged(struct json_reader *r, size_t offset, struct slice tag,
	const struct edn *tagged, struct edn *value)
{
	struct edn *items = arena_alloc(r->arena, 2 * sizeof(*items));

	if (!items)
		return json_fail_memory(r);
	if (!json_tag_read(r->arena, tag, &items[0]))
		return json_fail(r, offset, "no tag can have this name");
	items[1] = *tagged;
	r->stack.taken += 2;
	*value = (struct edn){.type = EDN_TAGGED, .count = 2, .items = items};
	return 0;
}

static int close_tag(struct json_reader *r, const struct json_frame *frame,
	const struct edn *payload, struct edn *value)
{
	size_t offset = payload_offset(r, frame);
	struct err cause = {0};
	const struct edn *pair = payload->items;
	int ret;

	if (payload->type != EDN_VECTOR || payload->count != 2 || pair[0].type != EDN_STRING)
		return fail_payload(r, frame, "an array of a tag's name and a value");
	if (!is_known_tag(edn_text(&pair[0])))
		return make_tagged(r, json_child_offset(r->text, offset, 0), edn_text(&pair[0]),
			&pair[1], value);
	offset = json_child_offset(r->text, offset, 1);
	if (pair[1].type != EDN_STRING)
		return json_fail(r, offset, "this tag needs a string");
	ret = json_known_tag_read(r->arena, edn_text(&pair[0]), edn_text(&pair[1]), value, &cause);
	r->stack.taken += 2;
	if (ret == -EBADMSG)
		return json_fail(r, offset, "%s", cause.text);
	return ret ? json_fail_memory(r) : 0;
}

static int close_any(struct json_reader *r, const struct json_frame *frame, const struct edn *pair,
	struct edn *value)
{
	return make_tagged(r, json_child_offset(r->text, frame->offset, 0), edn_text(&pair[0]),
		&pair[1], value);
}

static int close_marker(struct json_reader *r, const struct json_frame *frame,
	const struct edn *pair, struct edn *value)
{
	switch ((enum json_payload)frame->marker->payload) {
	case JSON_TEXT:
		return close_text(r, frame, &pair[1], value);
	case JSON_ITEMS:
		return close_items(r, frame, &pair[1], value);
	case JSON_PAIRS:
		return close_pairs(r, frame, &pair[1], value);
	case JSON_TAG:
		return close_tag(r, frame, &pair[1], value);
	case JSON_ANY:
		return close_any(r, frame, pair, value);
	}
	return 0;
}

/* EDN nesting of what a marker made, given that of its payload. */
static unsigned marker_height(const struct json_frame *frame, const struct edn *value)
{
	switch ((enum json_payload)frame->marker->payload) {
	case JSON_TEXT:
		return value->type == EDN_TAGGED;
	case JSON_PAIRS: /* the pairs are arrays, too */
		return frame->height > 1 ? frame->height - 1 : 1;
	case JSON_ITEMS:
	case JSON_TAG: /* the array is the list, the set or the tag */
		return frame->height;
	case JSON_ANY:
		break;
	}
	return frame->height + 1;
}

int json_object_close(struct json_reader *r, struct edn *value, unsigned *height)
{
	const struct json_frame *frame = &r->frames[r->depth - 1];
	const struct edn *pairs = r->stack.values + frame->first;
	size_t count = (r->stack.count - frame->first) / 2;
	const struct edn *items;
	int ret;

	if (frame->marker) {
		ret = close_marker(r, frame, pairs, value);
		*height = ret ? 0 : marker_height(frame, value);
		return ret;
	}
	ret = json_object_check_keys(r, frame, pairs, count);
	if (ret)
		return ret;
	ret = edn_stack_take(&r->stack, frame->first, r->arena, &items);
	if (ret)
		return edn_stack_fail(&r->stack, ret, r->err);
	*value = (struct edn){.type = EDN_MAP, .count = (uint32_t)count, .items = items};
	*height = frame->height + 1;
	return 0;
}

/* ---- no marker after all ---- */

/* The values are ours, in the arena, and nobody else has seen them yet. */
static void interpret(const struct edn *value)
{
	if (value->type == EDN_STRING)
		*(struct edn *)value = json_text_value(edn_text(value));
}

int json_object_is_map(struct json_reader *r, struct json_frame *frame)
{
	const struct edn *payload = &r->stack.values[frame->first + 1];
	enum json_payload kind = (enum json_payload)frame->marker->payload;
	bool scalar = kind == JSON_TEXT && frame->marker->type != EDN_TAGGED;

	frame->marker = NULL;
	if (kind == JSON_TEXT)
		interpret(payload);
	if (kind == JSON_TAG && payload->type == EDN_VECTOR && payload->count)
		interpret(&payload->items[0]);
	if (scalar && !frame->counted)
		frame->level++;
	if (frame->level + frame->height > r->max_depth)
		return json_fail_depth(r, frame->offset);
	return 0;
}
