/* SPDX-License-Identifier: MIT */
#include "json_internal.h"

#include <errno.h>
#include <stdlib.h>

/*
 * EDN nesting is not JSON's: {"#set": [1]} is one level, {"#int": "5N"} none. An object's level is
 * known with its first key; that the key really was a marker's, at the object's end. So an array
 * that is a marker's payload counts together with its object, and json_object_is_map counts anew.
 */
static int open_array(struct json_reader *r)
{
	struct json_frame *outer = json_top(r);
	struct json_frame frame = {.first = r->stack.count, .offset = r->at};
	bool shared = false;

	if (outer && outer->object && outer->marker && r->stack.count - outer->first == 1) {
		uint8_t payload = outer->marker->payload;

		shared = payload == JSON_ITEMS || payload == JSON_PAIRS || payload == JSON_TAG;
		if (payload == JSON_PAIRS)
			frame.role = JSON_MAP_PAIRS;
		if (payload == JSON_TAG)
			frame.role = JSON_TAG_PAIR;
	} else if (outer && outer->role == JSON_MAP_PAIRS) {
		shared = true;
		frame.role = JSON_MAP_PAIR;
	}
	frame.level = (outer ? outer->level : 0) + !shared;
	if (frame.level > r->max_depth)
		return json_fail_depth(r, r->at);
	r->at++;
	return json_push_frame(r, &frame);
}

/* Its level is settled by the first key. */
static int open_object(struct json_reader *r)
{
	struct json_frame *outer = json_top(r);
	struct json_frame frame = {.first = r->stack.count,
		.offset = r->at,
		.level = outer ? outer->level : 0,
		.object = true};

	r->at++;
	return json_push_frame(r, &frame);
}

static bool marks_scalar(const struct json_marker *marker)
{
	return marker->payload == JSON_TEXT && marker->type != EDN_TAGGED;
}

/* A container where a scalar's marker needs a string: the object can only be a map. */
static int settle_outer(struct json_reader *r)
{
	struct json_frame *outer = json_top(r);

	if (!outer || !outer->marker || outer->counted || !marks_scalar(outer->marker))
		return 0;
	outer->counted = true;
	return ++outer->level > r->max_depth ? json_fail_depth(r, outer->offset) : 0;
}

static int settle_level(struct json_reader *r, struct json_frame *frame)
{
	if (frame->marker && marks_scalar(frame->marker))
		return 0;
	return ++frame->level > r->max_depth ? json_fail_depth(r, frame->offset) : 0;
}

static unsigned height_of(const struct edn *v)
{
	unsigned height = 0;
	size_t count = v->count;

	if (v->type < EDN_LIST)
		return 0;
	if (v->type == EDN_MAP || v->type == EDN_TAGGED)
		count = v->type == EDN_MAP ? count * 2 : 2;
	for (size_t i = 0; i < count; i++) {
		unsigned inner = height_of(&v->items[i]);

		height = inner > height ? inner : height;
	}
	return height + 1;
}

static int push_key(struct json_reader *r, size_t offset, struct slice text)
{
	struct json_frame *frame = json_top(r);
	struct edn key = {.type = EDN_SYMBOL};
	struct err cause = {0};
	unsigned height = 0;
	size_t room;
	size_t left;
	int ret;

	if (frame->marker && r->stack.count == frame->first) {
		key.text = text.ptr + 1;
		key.count = (uint32_t)text.len - 1;
		return json_push_value(r, key);
	}
	room = left = edn_stack_room(&r->stack);
	ret = json_key_read_bounded(r->arena, text, r->max_depth - frame->level, &left, &key,
		&cause);
	if (ret == -EBADMSG)
		return json_fail(r, offset, "%s", cause.text);
	if (ret)
		return edn_stack_fail(&r->stack, ret, r->err);
	r->stack.taken += room - left;
	height = height_of(&key);
	if (height > frame->height)
		frame->height = height;
	return json_push_value(r, key);
}

static int read_key(struct json_reader *r)
{
	struct json_frame *frame = json_top(r);
	size_t offset = r->at;
	struct slice text;
	int ret;

	if (r->at == r->text.len)
		return json_fail_cut(r);
	if (r->text.ptr[r->at] != '"')
		return json_fail(r, r->at, "a key in double quotes must stand here");
	ret = json_read_string(r, &text);
	if (!ret && r->stack.count == frame->first) {
		frame->marker = json_marker_of_key(text);
		ret = settle_level(r, frame);
	} else if (!ret && r->stack.count == frame->first + 2 && frame->marker) {
		ret = json_object_is_map(r, frame);
	}
	if (!ret)
		ret = push_key(r, offset, text);
	if (ret)
		return ret;
	json_skip_space(r);
	if (r->at == r->text.len)
		return json_fail_cut(r);
	if (r->text.ptr[r->at] != ':')
		return json_fail(r, r->at, "a colon must stand behind the key");
	r->at++;
	return 0;
}

static int close_array(struct json_reader *r, struct edn *value, unsigned *height)
{
	const struct json_frame *frame = json_top(r);
	size_t count = r->stack.count - frame->first;
	const struct edn *items;

	int ret = edn_stack_take(&r->stack, frame->first, r->arena, &items);

	if (ret)
		return edn_stack_fail(&r->stack, ret, r->err);
	*value = (struct edn){.type = EDN_VECTOR, .count = (uint32_t)count, .items = items};
	*height = frame->height + 1;
	return 0;
}

/* The bracket at r->at ends the innermost frame, which becomes a value of the next. */
static int close_frame(struct json_reader *r)
{
	struct edn value;
	unsigned height;
	int ret = json_top(r)->object ? json_object_close(r, &value, &height)
				      : close_array(r, &value, &height);

	if (ret)
		return ret;
	r->at++;
	r->stack.count = json_top(r)->first;
	r->depth--;
	if (r->depth && json_top(r)->height < height)
		json_top(r)->height = height;
	return json_push_value(r, value);
}

static bool at_end_of_frame(struct json_reader *r)
{
	return r->text.ptr[r->at] == (json_top(r)->object ? '}' : ']');
}

/* An opening bracket, and what comes up to the first value in it. *whole: it is closed already. */
static int read_open(struct json_reader *r, bool *whole)
{
	int ret = settle_outer(r);

	if (!ret)
		ret = r->text.ptr[r->at] == '{' ? open_object(r) : open_array(r);
	if (ret)
		return ret;
	json_skip_space(r);
	if (r->at == r->text.len)
		return json_fail_cut(r);
	*whole = at_end_of_frame(r);
	if (!*whole)
		return json_top(r)->object ? read_key(r) : 0;
	if (json_top(r)->object)
		ret = settle_level(r, json_top(r));
	return ret ? ret : close_frame(r);
}

/* Behind a value: closes what ends here, up to the comma (and the key) before the next value. */
static int read_after_value(struct json_reader *r)
{
	int ret;

	while (r->depth) {
		json_skip_space(r);
		if (r->at == r->text.len)
			return json_fail_cut(r);
		if (r->text.ptr[r->at] == ',') {
			r->at++;
			json_skip_space(r);
			return json_top(r)->object ? read_key(r) : 0;
		}
		if (!at_end_of_frame(r))
			return json_fail(r, r->at, "a comma or %s must stand here",
				json_top(r)->object ? "}" : "]");
		ret = close_frame(r);
		if (ret)
			return ret;
	}
	return 0;
}

static int read_document(struct json_reader *r)
{
	int ret;

	do {
		bool whole = true;

		json_skip_space(r);
		if (r->at == r->text.len)
			return json_fail_cut(r);
		if (r->text.ptr[r->at] == '{' || r->text.ptr[r->at] == '[')
			ret = read_open(r, &whole);
		else
			ret = json_read_scalar(r);
		if (!ret && whole)
			ret = read_after_value(r);
		if (ret)
			return ret;
	} while (r->depth);
	json_skip_space(r);
	if (r->at < r->text.len)
		return json_fail(r, r->at, "more text behind the value");
	return 0;
}

int json_read_limited(struct arena *arena, struct slice text, unsigned max_depth, size_t max_values,
	struct edn *value, struct err *err)
{
	struct edn first_values[64];
	struct json_frame first_frames[16];
	struct json_reader r = {.arena = arena,
		.text = text,
		.max_depth = max_depth,
		.err = err,
		.stack = {first_values, first_values, 0, 64, 0, max_values},
		.first_frames = first_frames,
		.frames = first_frames,
		.frames_cap = 16};
	int ret;

	if (text.len > UINT32_MAX)
		return err_set(err, -EOVERFLOW, "the text is larger than 4 GiB");
	ret = read_document(&r);
	if (!ret)
		*value = r.stack.values[0];
	edn_stack_release(&r.stack);
	edn_hashes_release(&r.hashes);
	if (r.frames != first_frames)
		free(r.frames);
	return ret;
}

int json_read(struct arena *arena, struct slice text, unsigned max_depth, struct edn *value,
	struct err *err)
{
	return json_read_limited(arena, text, max_depth, SIZE_MAX, value, err);
}
