/* SPDX-License-Identifier: MIT */
#include "memory_merge.h"

#include <errno.h>

/* Which of two values is the newer one, and what becomes of ours where it stays. */

int merge_identity_in(const struct memory *m, const struct ednfile *file, struct entity_id id,
	struct hash128 *identity)
{
	struct slice text;
	int ret;

	*identity = IDENTITY_ABSENT;
	if (!id.member.ptr && ednfile_is_collection(file, id.key)) {
		*identity = IDENTITY_COLLECTION;
		return 0;
	}
	ret = memory_entity_text(file, id, false, &text);
	if (!ret)
		ret = memory_text_identity(m, text, identity);
	return ret == -ENOENT ? 0 : ret;
}

/*
 * While memory.edn is left alone it stays what it was when both stores were last equal, whoever wrote it:
 * the EAV store's header remembers. The mode is still that when it is being left.
 */
static bool is_as_left(struct memory *m, struct slice name, struct hash128 value)
{
	struct eav_record record;
	struct eav_reader reader;
	int ret = eav_read_begin(m->eav.store, &reader);

	if (!ret)
		ret = eav_get(&reader, name, &record);
	eav_read_end(&reader);
	if (ret && ret != -ENOENT)
		return false;
	/* of what it never had, or has no more, memory.edn had nothing */
	return hash128_equal(value, !ret && record.base_exists ? record.base : IDENTITY_ABSENT);
}

/* What was changed here and changed back is as good as untouched: only his change is left. */
static int judge_conflict(struct merge *merge, struct entity_id id, struct slice name,
	const struct saved_base *base, struct hash128 theirs)
{
	struct memory *m = merge->m;
	bool left_alone = !mode_row((enum mode)atomic_load(&m->mode))->writes_edn && m->eav.store;
	struct hash128 ours;
	bool untouched;
	int ret = merge_identity_in(m, m->file, id, &ours);

	if (ret)
		return ret;
	/* what stood here then may be forgotten for all that stood here since */
	if (left_alone && is_as_left(m, name, theirs))
		return VERDICT_STALE;
	untouched = left_alone ? is_as_left(m, name, ours) : hash128_equal(ours, base->value);
	return untouched ? VERDICT_ADOPT : VERDICT_CONFLICT;
}

struct members {
	struct merge *merge;
	struct slice key;
};

/* -EEXIST: this one does. */
static int find_standing(void *context, struct slice member, const struct ednfile_item *item)
{
	struct members *members = context;
	struct entity_id id = {members->key, member};
	struct saved_base base;
	int ret = merge_judge(members->merge, id, IDENTITY_ABSENT, &base);

	(void)item;
	return ret < 0 ? ret : ret == VERDICT_ADOPT ? 0 : -EEXIST;
}

/* A member that theirs lacks, and that stands for all that, keeps the key that it is under. */
static int has_standing_member(struct merge *merge, struct entity_id id)
{
	struct members members = {.merge = merge, .key = id.key};
	const struct ednfile *ours = merge->m->file;
	int ret;

	if (id.member.ptr || !ednfile_is_collection(ours, id.key) ||
		ednfile_is_collection(merge->theirs, id.key))
		return 0;
	ret = ednfile_each_member(ours, id.key, find_standing, &members);
	return ret == -EEXIST ? 1 : ret;
}

/* Of what would be adopted but for them. */
static int judge_members(struct merge *merge, struct entity_id id, struct hash128 theirs)
{
	int ret = has_standing_member(merge, id);

	if (ret != 1)
		return ret < 0 ? ret : VERDICT_ADOPT;
	return hash128_equal(theirs, IDENTITY_ABSENT) ? VERDICT_STALE : VERDICT_CONFLICT;
}

int merge_judge(struct merge *merge, struct entity_id id, struct hash128 theirs,
	struct saved_base *base)
{
	struct buf name = BUF_INIT;
	int ret;

	*base = (struct saved_base){0};
	entity_id_name(&name, id);
	ret = buf_error(&name);
	if (!ret)
		ret = memory_base(merge->m, buf_slice(&name), base);
	if (merge->own) {
		ret = ret && ret != -ENOENT ? ret : VERDICT_STALE;
	} else if (!ret) {
		ret = (int)memory_judge_theirs(base, theirs);
		if (ret == VERDICT_CONFLICT)
			ret = judge_conflict(merge, id, buf_slice(&name), base, theirs);
	} else if (ret == -ENOENT) {
		ret = VERDICT_ADOPT;
	}
	buf_release(&name);
	return ret == VERDICT_ADOPT ? judge_members(merge, id, theirs) : ret;
}

int merge_stand(struct merge *merge, struct entity_id id, const struct saved_base *base,
	struct hash128 theirs)
{
	struct change c = {.kind = CHANGE_BASE, .id = id};
	struct buf name = BUF_INIT;
	int ret;

	c.saved.base = *base;
	c.saved.base.epoch = merge->m->epoch + 1;
	c.saved.base.value = theirs;
	/* a file of ours is nobody's news, nor is one that nobody wrote: the bases stay */
	if (!merge->own && !merge->removed)
		change_encode(&merge->payload, &c);
	entity_id_name(&name, id);
	ret = buf_error(&name);
	if (!ret)
		ret = table_put(&merge->standing, buf_slice(&name), merge, NULL);
	buf_release(&name);
	return ret;
}

int merge_keep_theirs(struct merge *merge, struct entity_id id, struct slice text)
{
	struct buf path = BUF_INIT;
	int ret = memory_id_path(merge->m, id, false, &path);

	if (!ret)
		ret = memory_keep_conflict(merge->m, buf_slice(&path), text);
	buf_release(&path);
	return ret;
}
