/* SPDX-License-Identifier: MIT */
#include "path_name.h"

#include <errno.h>

#include "json.h"
#include "utf8.h"

static bool starts_as_mark(struct slice text)
{
	return text.len && (text.ptr[0] == ':' || text.ptr[0] == '\'' || text.ptr[0] == '#');
}

/* Appends a string's text where the rule of object keys doesn't hold; false where it does. */
static bool add_string(struct buf *text, enum path_plain plain, const struct edn *key)
{
	struct slice string = edn_text(key);

	if (!utf8_is_valid(string)) {
		buf_add_char(text, '#');
		edn_print_canonical(text, key);
		return true;
	}
	if (string.len && plain == PATH_PLAIN_KEYWORD)
		return false;
	if (string.len == 0 || starts_as_mark(string))
		buf_add_char(text, '\'');
	buf_add_slice(text, string);
	return true;
}

void path_mark_add(struct buf *text, enum path_plain plain, const struct edn *key)
{
	if (key->type == EDN_STRING && add_string(text, plain, key))
		return;
	if (key->type == EDN_KEYWORD && plain == PATH_PLAIN_STRING &&
		!starts_as_mark(edn_text(key)) && edn_is_keyword(edn_text(key)))
		buf_add_char(text, ':');
	json_key_print(text, key);
}

int path_mark_read(struct arena *arena, enum path_plain plain, struct slice text, struct edn *key,
	struct err *reason)
{
	int ret;

	if (plain == PATH_PLAIN_STRING && !starts_as_mark(text)) {
		*key = (struct edn){
			.type = EDN_STRING, .count = (uint32_t)text.len, .text = text.ptr};
		return 0;
	}
	ret = json_key_read(arena, text, key, reason);
	return ret == 0 || ret == -ENOMEM ? ret : -EINVAL;
}
