/* SPDX-License-Identifier: MIT */
#include "json_internal.h"

#include <errno.h>

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What most keywords are made of: letters, digits, - and _, and one slash between two such names. */
static bool is_plainly_keyword(struct slice text)
{
	bool slash = false;

	if (!text.len || !is_letter(text.ptr[0]))
		return false;
	for (size_t i = 1; i < text.len; i++) {
		char c = text.ptr[i];

		if (is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_')
			continue;
		if (c != '/' || slash || ++i == text.len || !is_letter(text.ptr[i]))
			return false;
		slash = true;
	}
	return true;
}

bool json_is_keyword(struct slice text)
{
	return is_plainly_keyword(text) || (text.len && edn_is_keyword(text));
}

bool json_reads_as_keyword(struct slice text)
{
	while (text.len && text.ptr[0] == '\'')
		text = slice_of(text.ptr + 1, text.len - 1);
	return text.len && text.ptr[0] == ':' &&
	       json_is_keyword(slice_of(text.ptr + 1, text.len - 1));
}

static struct edn text_value(enum edn_type type, struct slice text)
{
	return (struct edn){.type = (uint8_t)type, .count = (uint32_t)text.len, .text = text.ptr};
}

static struct slice behind(struct slice text, size_t skip)
{
	return slice_of(text.ptr + skip, text.len - skip);
}

struct edn json_text_value(struct slice text)
{
	if (!text.len || (text.ptr[0] != ':' && text.ptr[0] != '\'') ||
		!json_reads_as_keyword(text))
		return text_value(EDN_STRING, text);
	return text_value(text.ptr[0] == ':' ? EDN_KEYWORD : EDN_STRING, behind(text, 1));
}

/* ---- keys ---- */

static bool is_marked(struct slice text)
{
	return text.len && (text.ptr[0] == '#' || text.ptr[0] == '\'' || text.ptr[0] == ':');
}

const char *json_key_prefix(const struct edn *key)
{
	struct slice text = edn_text(key);

	if (key->type == EDN_KEYWORD) {
		if (!json_is_keyword(text))
			return "#:";
		return is_marked(text) ? ":" : "";
	}
	if (key->type == EDN_STRING)
		return is_marked(text) || json_is_keyword(text) ? "'" : "";
	return NULL;
}

void json_key_print(struct buf *out, const struct edn *key)
{
	const char *prefix = json_key_prefix(key);

	if (prefix) {
		if (*prefix)
			buf_add_str(out, prefix);
		if (key->count) /* the key "" leaves a buf without memory as it is */
			buf_add_slice(out, edn_text(key));
	} else {
		buf_add_char(out, '#');
		edn_print_canonical(out, key);
	}
}

/* The text behind the '#' of a key: one form and nothing else. */
static int read_other_key(struct arena *arena, struct slice text, unsigned max_depth, size_t *room,
	struct edn *key, struct err *err)
{
	struct err cause = {0};
	size_t end = 0;
	int ret = edn_read_limited(arena, text, max_depth, room, key, &end, &cause);

	if (ret == -EBADMSG)
		return err_set(err, ret, "a key that begins with # must be EDN: %s", cause.text);
	if (ret)
		return err_set(err, ret, "%s", cause.text);
	if (end != text.len)
		return err_set(err, -EBADMSG,
			"a key that begins with # must be one EDN form, not more");
	return 0;
}

int json_key_read_bounded(struct arena *arena, struct slice text, unsigned max_depth, size_t *room,
	struct edn *key, struct err *err)
{
	bool keyword;

	if (text.len && text.ptr[0] == '#')
		return read_other_key(arena, behind(text, 1), max_depth, room, key, err);
	if (text.len && text.ptr[0] == '\'') {
		*key = text_value(EDN_STRING, behind(text, 1));
		return 0;
	}
	if (text.len && text.ptr[0] == ':') {
		text = behind(text, 1);
		if (!json_is_keyword(text))
			return err_set(err, -EBADMSG,
				"a key that begins with : must be a keyword (a string begins with "
				"')");
		*key = text_value(EDN_KEYWORD, text);
		return 0;
	}
	keyword = json_is_keyword(text);
	*key = text_value(keyword ? EDN_KEYWORD : EDN_STRING, text);
	return 0;
}

/* Keys, as all text of values, may hold lone surrogates (WTF-8). */
static bool is_text(struct slice text)
{
	for (;;) {
		size_t valid = utf8_valid_len(text);

		if (valid == text.len)
			return true;
		text = behind(text, valid);
		if (text.len < 3 || (unsigned char)text.ptr[0] != 0xed ||
			(text.ptr[1] & 0xe0) != 0xa0 || (text.ptr[2] & 0xc0) != 0x80)
			return false;
		text = behind(text, 3);
	}
}

int json_key_read(struct arena *arena, struct slice text, struct edn *key, struct err *err)
{
	size_t room = SIZE_MAX;

	if (text.len > UINT32_MAX)
		return err_set(err, -EOVERFLOW, "the key is too long");
	if (!is_text(text))
		return err_set(err, -EBADMSG, "invalid UTF-8 in a key");
	return json_key_read_bounded(arena, text, EDN_LOAD_DEPTH, &room, key, err);
}
