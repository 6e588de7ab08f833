/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>

int memory_entity_text(const struct ednfile *file, struct entity_id id, bool collection,
	struct slice *text)
{
	struct ednfile_item item = {.text = SLICE_LITERAL("{}")};
	bool is_collection = ednfile_is_collection(file, id.key);
	int ret;

	if (collection)
		ret = is_collection ? 0 : -ENOENT;
	else if (is_collection != (id.member.ptr != NULL))
		ret = -ENOENT;
	else
		ret = ednfile_get(file, id.key, id.member, &item);
	*text = item.text;
	return ret;
}

static int compare(const struct memory *m, struct slice a, struct slice b, bool *same)
{
	struct arena arena = ARENA_INIT;
	struct edn x, y;
	int ret = memory_value_read(m, &arena, a, &x, NULL);

	if (!ret)
		ret = memory_value_read(m, &arena, b, &y, NULL);
	if (!ret)
		*same = edn_identical(&x, &y);
	arena_release(&arena);
	return ret == -EFBIG ? 0 : ret;
}

int memory_identical(const struct memory *m, struct table *verdicts, struct slice a, struct slice b,
	bool *same)
{
	static const char VERDICTS[2] = {'n', 'y'};
	struct hash128 texts[2];
	const char *known;
	int ret;

	*same = slice_equal(a, b);
	if (*same)
		return 0;
	texts[0] = hash128(a.ptr, a.len);
	texts[1] = hash128(b.ptr, b.len);
	known = table_get(verdicts, slice_of(texts, sizeof(texts)));
	if (known) {
		*same = *known == 'y';
		return 0;
	}
	ret = compare(m, a, b, same);
	/* for lack of memory the next time takes as long, nothing else */
	if (!ret)
		table_put(verdicts, slice_of(texts, sizeof(texts)), (void *)&VERDICTS[*same], NULL);
	return ret;
}

/* No value's identity. */
static struct hash128 identity_of_text(struct slice text)
{
	struct hash128 words[2] = {hash128(text.ptr, text.len), {0, text.len}};

	return hash128(words, sizeof(words));
}

int memory_text_identity(const struct memory *m, struct slice text, struct hash128 *identity)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret = memory_value_read(m, &arena, text, &value, NULL);

	if (!ret)
		*identity = edn_identity(&value);
	else if (ret == -EFBIG)
		*identity = identity_of_text(text);
	arena_release(&arena);
	return ret == -EFBIG ? 0 : ret;
}
