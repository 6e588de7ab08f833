/* SPDX-License-Identifier: MIT */
#include "edn.h"
#include "utf8.h"

#include <errno.h>

#include "edn_compare.h"
#include "edn_reader.h"

static int blame(const char *at, struct err *err)
{
	if (err)
		err->at = at;
	return -EBADMSG;
}

static int refuse_word(const struct edn *v, struct err *err)
{
	bool keyword = v->type == EDN_KEYWORD;
	bool readable = keyword ? edn_is_keyword(edn_text(v)) : edn_is_symbol(edn_text(v));

	if (readable && !v->lenient)
		return 0;
	err_set(err, -EBADMSG, "clojure.edn can't read the %s %s%.*s",
		keyword ? "keyword" : "symbol", keyword ? ":" : "",
		v->count < 80 ? (int)v->count : 80, v->text);
	return blame(v->text, err);
}

static int check_tag(const struct edn *tag, struct err *err)
{
	struct slice name = edn_text(tag);

	if (edn_is_known_tag(name))
		return 0;
	err_set(err, -EBADMSG, "clojure.edn has no reader for the tag #%.*s",
		name.len < 80 ? (int)name.len : 80, name.ptr);
	return blame(name.ptr, err);
}

static int check(const struct edn *v, unsigned depth_left, unsigned max_depth, struct err *err)
{
	size_t count = edn_item_count(v);
	size_t i;
	int ret = 0;

	if (v->type == EDN_KEYWORD || v->type == EDN_SYMBOL)
		return refuse_word(v, err);
	if (v->type == EDN_CHAR && utf8_is_surrogate((uint32_t)v->integer))
		return err_set(err, -EBADMSG,
			"clojure.edn can't read a lone surrogate as a character");
	if (v->type < EDN_LIST)
		return 0;
	if (depth_left == 0)
		return err_set(err, -EBADMSG, "nested deeper than %u levels", max_depth);
	if (v->type == EDN_TAGGED)
		ret = check_tag(&v->items[0], err);
	for (i = v->type == EDN_TAGGED; i < count && !ret; i++)
		ret = check(&v->items[i], depth_left - 1, max_depth, err);
	return ret;
}

int edn_check_readable(const struct edn *v, unsigned max_depth, struct err *err)
{
	return check(v, max_depth, max_depth, err);
}
