/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>

#include "json.h"

void save_release(struct save *save)
{
	arena_release(&save->arena);
	buf_release(&save->text);
	buf_release(&save->current);
}

/* ---- what Ouroboros could not read ---- */

static unsigned depth_of(const struct edn *v)
{
	unsigned deepest = 0;
	size_t count;

	switch (v->type) {
	case EDN_MAP:
		count = 2 * (size_t)v->count;
		break;
	case EDN_LIST:
	case EDN_VECTOR:
	case EDN_SET:
		count = v->count;
		break;
	case EDN_TAGGED:
		count = 2;
		break;
	default:
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		unsigned depth = depth_of(&v->items[i]);

		if (depth > deepest)
			deepest = depth;
	}
	return deepest + 1;
}

static int each_lenient(const struct edn *v, struct table *known, bool add)
{
	size_t count = 0;
	int ret = 0;

	if (v->lenient) {
		struct buf token = BUF_INIT;

		edn_print(&token, v);
		if (buf_error(&token))
			ret = -ENOMEM;
		else if (add)
			ret = table_put(known, buf_slice(&token), known, NULL);
		else if (!table_get(known, buf_slice(&token)))
			ret = -EBADMSG;
		buf_release(&token);
	}
	if (v->type == EDN_MAP)
		count = 2 * (size_t)v->count;
	else if (v->type == EDN_LIST || v->type == EDN_VECTOR || v->type == EDN_SET)
		count = v->count;
	else if (v->type == EDN_TAGGED)
		count = 2;
	for (size_t i = 0; i < count && !ret; i++)
		ret = each_lenient(&v->items[i], known, add);
	return ret;
}

/* Every token that clojure.edn can't read stands in the current value already. 0, -EBADMSG, -ENOMEM. */
static int brings_nothing_new(const struct edn *value, const struct edn *current)
{
	struct table known = {0};
	int ret = each_lenient(current, &known, true);

	if (!ret)
		ret = each_lenient(value, &known, false);
	table_release(&known, NULL);
	return ret;
}

/* What memory.edn holds already may be saved again, however unreadable. */
static int judge_by_current(struct save *save, struct slice json, int verdict)
{
	struct edn current;
	unsigned depth;
	int ret;

	if (!save->has_current)
		return verdict;
	ret = edn_read(&save->arena, buf_slice(&save->current), EDN_LOAD_DEPTH, &current, NULL,
		NULL);
	if (ret)
		return ret == -ENOMEM ? ret : verdict;
	depth = depth_of(&current);
	ret = json_read(&save->arena, json, depth > EDN_SAVE_DEPTH ? depth : EDN_SAVE_DEPTH,
		&save->value, NULL);
	if (!ret)
		ret = brings_nothing_new(&save->value, &current);
	return ret == -EBADMSG ? verdict : ret;
}

static int parse(struct save *save, struct slice json, struct err *err)
{
	int ret = json_read(&save->arena, json, EDN_SAVE_DEPTH, &save->value, err);

	if (!ret)
		ret = edn_check_readable(&save->value, EDN_SAVE_DEPTH, err);
	if (ret == -EBADMSG)
		ret = judge_by_current(save, json, ret);
	if (ret == -ENOMEM)
		return err_set(err, ret, "out of memory");
	if (ret)
		return ret;
	if (err)
		*err = (struct err){0};
	save->identity = edn_identity(&save->value);
	edn_print(&save->text, &save->value);
	return buf_error(&save->text) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* The checks that need no writer's lock; the caller repeats the first two under it. */
int save_judge(struct memory *m, struct slice path, struct slice json, struct save *save,
	struct err *err)
{
	struct target t = TARGET_INIT;
	int ret;

	if (json.len > m->options.doc_max_bytes)
		return err_set(err, -EFBIG, "larger than doc_max, %zu bytes",
			m->options.doc_max_bytes);
	pthread_rwlock_rdlock(&m->lock);
	ret = target_resolve(m, path, &t, err);
	if (!ret && t.exists) {
		/* only an unreadable value of now makes one acceptable: most need no copy */
		save->has_current = true;
		buf_add_slice(&save->current, t.doc.item.text);
		ret = buf_error(&save->current);
	}
	pthread_rwlock_unlock(&m->lock);
	if (!ret)
		ret = parse(save, json, err);
	if (!ret)
		ret = target_check_value(m, &t, save->value.type == EDN_MAP, err);
	target_release(&t);
	return ret;
}
