/* SPDX-License-Identifier: MIT */
#include "edn_reader.h"

#include <errno.h>

/* The keys of #:ns{}: unqualified ones get the namespace, _/x loses its own, others stay. */

static bool is_lenient(const struct edn *word)
{
	struct slice text = edn_text(word);

	return word->type == EDN_KEYWORD ? !edn_is_keyword(text) : !edn_is_symbol(text);
}

/* A symbol whose text would be read as something else: nil, a number, :a. */
static bool is_unsayable(const struct edn *word)
{
	const char *text = word->text;

	if (word->type != EDN_SYMBOL)
		return false;
	return word->count == 0 || *text == ':' || *text == '#' ||
	       edn_starts_number(text, text + word->count) ||
	       slice_equal(edn_text(word), SLICE_LITERAL("nil")) ||
	       slice_equal(edn_text(word), SLICE_LITERAL("true")) ||
	       slice_equal(edn_text(word), SLICE_LITERAL("false"));
}

static int qualify(struct arena *arena, struct slice prefix, struct edn *key)
{
	size_t len = prefix.len + 1 + key->count;
	char *text = arena_alloc(arena, len);

	if (!text)
		return -ENOMEM;
	memcpy(text, prefix.ptr, prefix.len);
	text[prefix.len] = '/';
	memcpy(text + prefix.len + 1, key->text, key->count);
	key->text = text;
	key->count = (uint32_t)len;
	return 0;
}

int edn_resolve_key(struct arena *arena, struct slice prefix, struct edn *key)
{
	const char *slash;
	int ret = 0;

	if (key->type != EDN_KEYWORD && key->type != EDN_SYMBOL)
		return 0;
	slash = memchr(key->text, '/', key->count);
	if (!slash || key->count == 1) {
		ret = qualify(arena, prefix, key);
	} else if (slash == key->text + 1 && *key->text == '_') {
		key->text += 2;
		key->count -= 2;
	} else {
		return 0;
	}
	if (ret)
		return ret;
	key->lenient = is_lenient(key);
	return is_unsayable(key);
}
