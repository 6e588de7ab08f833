/* SPDX-License-Identifier: MIT */
#include "json_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- errors ---- */

int json_fail(struct json_reader *r, size_t offset, const char *format, ...)
{
	unsigned line;
	unsigned column;
	char text[sizeof(r->err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	utf8_position(r->text, offset, &line, &column);
	return err_set_at(r->err, -EBADMSG, line, column, "%s", text);
}

int json_fail_depth(struct json_reader *r, size_t offset)
{
	return json_fail(r, offset, "nested deeper than %u levels", r->max_depth);
}

int json_fail_memory(struct json_reader *r)
{
	return err_set(r->err, -ENOMEM, "no memory");
}

/* How many keys of an open object were read. Its values end where those of the next frame begin. */
static size_t keys_of(const struct json_reader *r, size_t frame)
{
	size_t end = frame + 1 < r->depth ? r->frames[frame + 1].first : r->stack.count;

	return (end - r->frames[frame].first + 1) / 2;
}

int json_fail_cut(struct json_reader *r)
{
	int ret;

	for (size_t i = 0; i < r->depth; i++) {
		const struct json_frame *frame = &r->frames[i];

		if (!frame->object)
			continue;
		ret = json_object_check_keys(r, frame, r->stack.values + frame->first,
			keys_of(r, i));
		if (ret)
			return ret;
	}
	ret = json_fail(r, r->text.len, "unexpected end of the text");
	if (r->err)
		r->err->truncated = true;
	return ret;
}

/* ---- stacks ---- */

static void *grow(void *old, const void *first, size_t *cap, size_t size)
{
	size_t more = *cap * 2;
	void *grown;

	if (more > SIZE_MAX / 2 / size)
		return NULL;
	grown = realloc(old == first ? NULL : old, more * size);
	if (!grown)
		return NULL;
	if (old == first)
		memcpy(grown, first, *cap * size);
	*cap = more;
	return grown;
}

int json_push_value(struct json_reader *r, struct edn value)
{
	int ret = edn_stack_push(&r->stack, &value);

	return ret ? edn_stack_fail(&r->stack, ret, r->err) : 0;
}

int json_push_frame(struct json_reader *r, const struct json_frame *frame)
{
	if (r->depth == r->frames_cap) {
		struct json_frame *grown =
			grow(r->frames, r->first_frames, &r->frames_cap, sizeof(*r->frames));

		if (!grown)
			return json_fail_memory(r);
		r->frames = grown;
	}
	r->frames[r->depth++] = *frame;
	return 0;
}
