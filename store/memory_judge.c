/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>

#include "json.h"
#include "utf8.h"

void save_release(struct save *save)
{
	buf_release(&save->text);
	buf_release(&save->current);
}

/* ---- what Ouroboros could not read ---- */

static unsigned depth_of(const struct edn *v)
{
	size_t count = edn_item_count(v);
	unsigned deepest = 0;

	if (v->type < EDN_LIST)
		return 0;
	for (size_t i = 0; i < count; i++) {
		unsigned depth = depth_of(&v->items[i]);

		if (depth > deepest)
			deepest = depth;
	}
	return deepest + 1;
}

static int read_current(const struct memory *m, const struct save *save, struct arena *arena,
	struct edn *value)
{
	return memory_value_read(m, arena, buf_slice(&save->current), value, NULL);
}

/* How deep is what memory.edn holds there? 0 when that is nothing. */
static int current_depth(const struct memory *m, const struct save *save, unsigned *depth)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret = save->has_current ? read_current(m, save, &arena, &value) : -ENOENT;

	*depth = ret ? 0 : depth_of(&value);
	arena_release(&arena);
	return ret == -ENOMEM ? ret : 0;
}

/*
 * What memory.edn held already may be saved again, however unreadable: its tokens anywhere, its depth
 * where it was.
 */
static int judge_by_held(struct memory *m, struct slice json, const struct save *save,
	struct arena *arena, struct edn *value, struct err *err)
{
	struct err reason = {0};
	unsigned depth;
	int ret;

	arena_reset(arena);
	ret = json_read_limited(arena, json, EDN_LOAD_DEPTH, memory_max_values(m), value, &reason);
	if (ret == -EFBIG && err)
		*err = reason;
	if (ret)
		return ret;
	if (depth_of(value) > EDN_SAVE_DEPTH) {
		ret = current_depth(m, save, &depth);
		if (!ret && depth_of(value) > depth)
			ret = -EBADMSG;
	}
	return ret ? ret : held_check_value(m, value, err);
}

/* Words without an escape still stand where they were read: so the place can be told. */
static int place(struct slice json, int ret, struct err *err)
{
	if (err && !err->line && err->at && err->at >= json.ptr && err->at < json.ptr + json.len)
		utf8_position(json, (size_t)(err->at - json.ptr), &err->line, &err->column);
	return ret;
}

static int read_saved(struct memory *m, struct slice json, const struct save *save,
	struct arena *arena, struct edn *value, struct err *err)
{
	int ret = json_read_limited(arena, json, EDN_SAVE_DEPTH, memory_max_values(m), value, err);

	if (!ret)
		ret = edn_check_readable(value, EDN_SAVE_DEPTH, err);
	if (ret == -EBADMSG)
		ret = judge_by_held(m, json, save, arena, value, err);
	if (ret == -ENOMEM)
		return err_set(err, ret, "out of memory");
	if (ret)
		return place(json, ret, err);
	if (err)
		*err = (struct err){0};
	return 0;
}

/* What is kept of the value is its text: as a tree it can take many times as much. */
static int parse(struct memory *m, struct slice json, struct save *save, struct err *err)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret = read_saved(m, json, save, &arena, &value, err);

	if (!ret) {
		save->is_map = value.type == EDN_MAP;
		save->identity = edn_identity(&value);
		edn_print(&save->text, &value);
		ret = buf_error(&save->text) ? err_set(err, -ENOMEM, "out of memory") : 0;
	}
	arena_release(&arena);
	return ret;
}

/* ---- what stands there ---- */

/* Under the lock: what memory.edn holds for the target, deleted or not. */
static int take_current(struct memory *m, const struct target *t, struct save *save)
{
	struct entity_id id = t->doc.id;
	struct ednfile_item item = t->doc.item;
	int ret = 0;

	if (t->exists)
		save->current_identity = t->doc.record.identity;
	else if (!table_get(&m->ghosts, buf_slice(&t->doc.name)))
		return 0;
	else
		ret = ednfile_get(m->file, id.key, id.member, &item);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	save->has_current = true;
	buf_add_slice(&save->current, item.text);
	return buf_error(&save->current);
}

/* The same value in other clothes: memory.edn stays as it is, layout and all. */
static int keep_layout(const struct memory *m, struct save *save)
{
	struct hash128 *now = &save->current_identity;
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret = 0;

	if (!save->has_current || slice_equal(buf_slice(&save->current), buf_slice(&save->text)))
		return 0;
	if (!now->high && !now->low) {
		ret = read_current(m, save, &arena, &value);
		if (!ret)
			*now = edn_identity(&value);
		arena_release(&arena);
	}
	if (!ret && now->high == save->identity.high && now->low == save->identity.low) {
		buf_release(&save->text);
		save->text = save->current;
		save->current = BUF_INIT;
	}
	return ret == -ENOMEM ? ret : 0;
}

/* The checks that need no writer's lock; the caller repeats the first two under it. */
int save_judge(struct memory *m, struct slice path, struct slice json, struct save *save,
	struct err *err)
{
	struct target t = TARGET_INIT;
	struct err no_map = {0};
	int ret;

	if (json.len > m->options.doc_max_bytes)
		return err_set(err, -EFBIG, "larger than doc_max, %zu bytes",
			m->options.doc_max_bytes);
	pthread_rwlock_rdlock(&m->lock);
	ret = target_resolve(m, path, &t, err);
	if (!ret) {
		target_check_value(m, &t, true, &no_map);
		if (take_current(m, &t, save))
			ret = err_set(err, -ENOMEM, "out of memory");
	}
	/* what it borrows from the tree is valid no longer than that */
	target_release(&t);
	pthread_rwlock_unlock(&m->lock);
	if (!ret)
		ret = parse(m, json, save, err);
	if (!ret && no_map.code && save->is_map)
		ret = err_set(err, no_map.code, "%s", no_map.text);
	if (!ret && keep_layout(m, save))
		ret = err_set(err, -ENOMEM, "out of memory");
	return ret;
}
