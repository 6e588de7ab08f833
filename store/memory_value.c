/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>

#include "json.h"

/*
 * Another program may put into memory.edn what no save could: a value that takes many times its text in memory, or
 * that is large as JSON. What may not be saved is not shown either, nor is it looked into: it is known by its text.
 */

/* Each takes 16 bytes and more in memory, however short its text: all together some twice doc_max. */
size_t memory_max_values(const struct memory *m)
{
	enum { AT_LEAST = 65536, SHARE = 12 };
	size_t most = m->options.doc_max_bytes / SHARE;

	return most < AT_LEAST ? AT_LEAST : most;
}

/*
 * A document that was saved must stay one when Ouroboros has printed it again. A value gains most as an #inst or a
 * #uuid, which count as three: {"#inst":"2020"} is 23 bytes longer in EDN.
 */
static size_t max_text(const struct memory *m)
{
	enum { GAIN = 8 };
	size_t max = m->options.doc_max_bytes;
	size_t more = memory_max_values(m) * GAIN;

	return max < SIZE_MAX - more ? max + more : SIZE_MAX;
}

bool memory_value_is_short(const struct memory *m, struct slice text)
{
	return text.len <= max_text(m);
}

int memory_value_read(const struct memory *m, struct arena *arena, struct slice text,
	struct edn *value, struct err *err)
{
	size_t room = memory_max_values(m);

	if (!memory_value_is_short(m, text))
		return err_set(err, -EFBIG,
			"%zu bytes in memory.edn are more than doc_max, %zu bytes, allows",
			text.len, m->options.doc_max_bytes);
	return edn_read_limited(arena, text, EDN_LOAD_DEPTH, &room, value, NULL, err);
}

int memory_value_print(const struct memory *m, const struct edn *value, struct buf *out,
	struct err *err)
{
	struct buf json = {.max = m->options.doc_max_bytes};
	int ret;

	json_print_document(&json, value);
	ret = buf_error(&json);
	if (!ret && !out->ptr) {
		*out = json;
		out->max = 0;
		return 0;
	}
	if (!ret)
		buf_add_slice(out, buf_slice(&json));
	buf_release(&json);
	if (ret == -EFBIG)
		return err_set(err, ret, "as JSON it is larger than doc_max, %zu bytes",
			m->options.doc_max_bytes);
	return ret ? ret : buf_error(out);
}

int memory_value_show(const struct memory *m, struct slice text, struct buf *out, struct err *err)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret = memory_value_read(m, &arena, text, &value, err);

	if (!ret)
		ret = memory_value_print(m, &value, out, err);
	arena_release(&arena);
	return ret;
}
