/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>

/*
 * What clojure.edn can't read alone, though memory.edn held it: keywords and symbols read by leniency, tags
 * of unknown readers. Each is named by its text: ":a/1", "a/1", "#my/tag".
 */

static int add_token(struct table *tokens, const char *mark, const struct edn *token,
	const struct edn *found)
{
	struct buf text = BUF_INIT;
	int ret;

	buf_add_str(&text, mark);
	edn_print(&text, token);
	ret = buf_error(&text);
	if (!ret)
		ret = table_put(tokens, buf_slice(&text), (void *)found, NULL);
	buf_release(&text);
	return ret;
}

static bool is_readable_tag(const struct edn *tag)
{
	struct edn items[2] = {*tag, {.type = EDN_NIL}};
	struct edn tagged = {.type = EDN_TAGGED, .count = 2, .items = items};

	return edn_check_readable(&tagged, 1, NULL) == 0;
}

/* Every such token in v, with the value that it is or tags. 0, -ENOMEM. */
static int collect(const struct edn *v, struct table *tokens)
{
	size_t count = edn_item_count(v);
	size_t i = 0;
	int ret = 0;

	if (v->type < EDN_LIST)
		return edn_check_readable(v, 0, NULL) ? add_token(tokens, "", v, v) : 0;
	if (v->type == EDN_TAGGED) {
		if (!is_readable_tag(&v->items[0]))
			ret = add_token(tokens, "#", &v->items[0], v);
		i = 1;
	}
	for (; i < count && !ret; i++)
		ret = collect(&v->items[i], tokens);
	return ret;
}

/* ---- holding ---- */

int held_merge(struct table *held, const struct table *more)
{
	struct slice token;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(more, &at, &token, &value)) {
		if (!table_get(held, token))
			ret = table_put(held, token, held, NULL);
	}
	return ret;
}

static int add_text(const struct memory *m, struct table *held, struct slice text)
{
	struct arena arena = ARENA_INIT;
	struct table tokens = {0};
	struct edn value;
	int ret = memory_value_read(m, &arena, text, &value, NULL);

	if (!ret)
		ret = collect(&value, &tokens);
	if (!ret)
		ret = held_merge(held, &tokens);
	table_release(&tokens, NULL);
	arena_release(&arena);
	return ret == -ENOMEM ? ret : 0;
}

int held_add_key(const struct memory *m, struct table *held, struct slice key)
{
	if (!key.len || key.ptr[0] == '"')
		return 0;
	if (key.ptr[0] == ':' && edn_is_keyword(slice_of(key.ptr + 1, key.len - 1)))
		return 0;
	return add_text(m, held, key);
}

int held_add_entry(void *adding, struct slice key, const struct ednfile_item *item)
{
	const struct held_adding *to = adding;
	int ret;

	if (!item->unreadable)
		return 0;
	ret = held_add_key(to->m, to->held, key);
	return ret ? ret : add_text(to->m, to->held, item->text);
}

/* ---- judging ---- */

/* How many of the tokens are not held; *one is one of them. */
static size_t count_missing(const struct memory *m, const struct table *tokens,
	const struct edn **one)
{
	size_t missing = 0;
	struct slice token;
	size_t at = 0;
	void *value;

	while (table_next(tokens, &at, &token, &value)) {
		if (table_get(&m->held, token))
			continue;
		*one = value;
		missing++;
	}
	return missing;
}

int held_check_value(struct memory *m, const struct edn *v, struct err *err)
{
	struct table tokens = {0};
	const struct edn *one = NULL;
	size_t missing = 0;
	int ret = edn_check_readable(v, EDN_LOAD_DEPTH, err);

	if (!ret)
		return 0;
	ret = collect(v, &tokens);
	if (!ret) {
		pthread_rwlock_rdlock(&m->lock);
		missing = count_missing(m, &tokens, &one);
		pthread_rwlock_unlock(&m->lock);
	}
	if (missing) {
		ret = -EBADMSG;
		/* where none is held, err names the first of them already */
		if (missing < tokens.count)
			edn_check_readable(one, EDN_LOAD_DEPTH, err);
	}
	table_release(&tokens, NULL);
	return ret;
}

bool held_has_key(const struct memory *m, struct slice key)
{
	struct arena arena = ARENA_INIT;
	struct table tokens = {0};
	const struct edn *one;
	struct edn value;
	bool has;

	if (key.len > 1 && key.ptr[0] == ':')
		return edn_is_keyword(slice_of(key.ptr + 1, key.len - 1)) ||
		       table_get(&m->held, key);
	has = edn_read(&arena, key, EDN_SAVE_DEPTH, &value, NULL, NULL) == 0 &&
	      collect(&value, &tokens) == 0 && count_missing(m, &tokens, &one) == 0;
	table_release(&tokens, NULL);
	arena_release(&arena);
	return has;
}
