/* SPDX-License-Identifier: MIT */
#include "memory_merge.h"

#include <errno.h>

/* Entity by entity: theirs against ours, then what theirs lacks. The rule is in memory_merge.h. */

/* ---- adopting ---- */

static int find_document(struct memory *m, struct entity_id id, struct doc *doc)
{
	struct buf path = BUF_INIT;
	int ret = memory_id_path(m, id, false, &path);

	if (!ret)
		ret = doc_find(m, buf_slice(&path), doc);
	buf_release(&path);
	return ret;
}

/* equal: to ours, it is another version and was changed when ours was. */
static int adopt_value(struct merge *merge, struct entity_id id, struct slice text, bool equal)
{
	struct memory *m = merge->m;
	struct change c = {.kind = CHANGE_PUT, .id = id, .text = text};
	struct doc doc = DOC_INIT;
	int ret = find_document(m, id, &doc);

	if (!ret)
		ret = doc_load(m, &doc);
	c.saved = doc.record;
	if (ret == -ENOENT) {
		c.saved = (struct saved_record){.mode = m->default_mode, .ino = merge->next_ino++};
		ret = 0;
	}
	doc_release(&doc);
	if (ret)
		return ret;
	c.saved.base = (struct saved_base){0};
	doc.item.text = text;
	ret = doc_identity(m, &doc);
	c.saved.identity = doc.record.identity;
	c.saved.text_hash = doc.record.text_hash;
	c.saved.has_bytes = false;
	if (!equal) {
		c.saved.has_mtime = true;
		c.saved.mtime = memory_now();
	}
	c.saved.version = ++merge->version;
	change_encode(&merge->payload, &c);
	return ret;
}

static int adopt(struct merge *merge, struct entity_id id, bool collection, struct slice text)
{
	struct change c = {.kind = CHANGE_COLLECTION, .id = id};

	merge->adoptions++;
	if (!collection)
		return adopt_value(merge, id, text, false);
	change_encode(&merge->payload, &c);
	return 0;
}

/* Is it shown from its text, by which an equal value may be another document: the order in maps and sets is the text's? */
static int shows_text(struct memory *m, struct entity_id id)
{
	struct doc doc = DOC_INIT;
	int ret = find_document(m, id, &doc);

	if (!ret)
		ret = doc_load_shown(m, &doc);
	if (!ret)
		ret = !doc.record.has_bytes;
	doc_release(&doc);
	return ret == -ENOMEM ? ret : ret == 1;
}

/* Who has read some of it, and the kernel that has a part of its pages, is to know that it is another one. 1, 0, -ENOMEM. */
static int shows_otherwise(struct memory *m, struct entity_id id, struct slice ours,
	struct slice theirs)
{
	struct buf shown[2] = {BUF_INIT, BUF_INIT};
	int ret = shows_text(m, id);

	if (ret == 1) {
		ret = memory_value_show(m, ours, &shown[0], NULL);
		if (!ret)
			ret = memory_value_show(m, theirs, &shown[1], NULL);
		if (!ret)
			ret = !slice_equal(buf_slice(&shown[0]), buf_slice(&shown[1]));
	}
	buf_release(&shown[0]);
	buf_release(&shown[1]);
	return ret == -ENOMEM ? ret : ret == 1;
}

/* One entity of theirs against ours. */
static int merge_entity(struct merge *merge, struct entity_id id, bool collection,
	struct slice text)
{
	struct saved_base base;
	struct hash128 theirs;
	struct slice ours;
	bool same = false;
	int ret = memory_entity_text(merge->m->file, id, collection, &ours);

	if (!ret && slice_equal(ours, text))
		return 0;
	if (!ret)
		ret = memory_identical(merge->m, &merge->verdicts, ours, text, &same);
	if (same && !collection && !merge->own) {
		ret = shows_otherwise(merge->m, id, ours, text);
		return ret == 1 ? adopt_value(merge, id, text, true) : ret;
	}
	if (same || (ret && ret != -ENOENT))
		return ret;
	ret = merge_identity_in(merge->m, merge->theirs, id, &theirs);
	if (!ret)
		ret = merge_judge(merge, id, theirs, &base);
	if (ret < 0)
		return ret;
	if (ret == VERDICT_ADOPT || (collection && merge->member_adopted)) {
		merge->member_adopted |= id.member.ptr != NULL;
		return adopt(merge, id, collection, text);
	}
	merge->stale += ret == VERDICT_STALE && !merge->own;
	merge->conflicts += ret == VERDICT_CONFLICT;
	if (ret == VERDICT_CONFLICT && !collection) {
		ret = merge_keep_theirs(merge, id, text);
		if (ret)
			return ret;
	}
	return merge_stand(merge, id, &base, theirs);
}

static int merge_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct merge *merge = context;

	return merge_entity(merge, (struct entity_id){merge->collection, member}, false,
		item->text);
}

/* Where theirs has a collection: the verdict over a document of ours. VERDICT_ADOPT where there is none. */
static int judge_document(struct merge *merge, struct entity_id id, struct saved_base *base)
{
	const struct ednfile *ours = merge->m->file;
	struct ednfile_item item;
	int ret = ednfile_is_collection(ours, id.key) ? -ENOENT
						      : ednfile_get(ours, id.key, id.member, &item);

	if (!ret)
		ret = merge_judge(merge, id, IDENTITY_COLLECTION, base);
	return ret == -ENOENT ? VERDICT_ADOPT : ret;
}

struct judging {
	struct merge *merge;
	struct slice key;
	bool news; /* theirs has more than a copy of what was */
};

static int stand_over_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct judging *judging = context;
	struct entity_id id = {judging->key, member};
	struct hash128 theirs;
	struct saved_base base;
	int verdict;
	int ret = memory_text_identity(judging->merge->m, item->text, &theirs);

	if (ret)
		return ret;
	verdict = merge_judge(judging->merge, id, theirs, &base);
	if (verdict < 0)
		return verdict;
	judging->news |= verdict != VERDICT_STALE;
	return merge_stand(judging->merge, id, &base, theirs);
}

/* The collection as a whole is what theirs has instead of the document. */
static int stand_over_collection(struct merge *merge, struct entity_id id, int verdict,
	const struct saved_base *base, struct slice text)
{
	struct judging judging = {
		.merge = merge, .key = id.key, .news = verdict == VERDICT_CONFLICT};
	int ret = ednfile_each_member(merge->theirs, id.key, stand_over_member, &judging);

	if (ret)
		return ret;
	merge->stale += !judging.news && !merge->own;
	merge->conflicts += judging.news;
	ret = judging.news ? merge_keep_theirs(merge, id, text) : 0;
	return ret ? ret : merge_stand(merge, id, base, IDENTITY_COLLECTION);
}

/* A member that is adopted brings its key along, if no document of ours stands there. */
static int merge_key(void *context, struct slice key, const struct ednfile_item *item)
{
	struct merge *merge = context;
	struct entity_id id = {.key = key};
	struct saved_base base;
	int ret;

	if (!ednfile_is_collection(merge->theirs, key))
		return merge_entity(merge, id, false, item->text);
	ret = judge_document(merge, id, &base);
	if (ret < 0)
		return ret;
	if (ret != VERDICT_ADOPT)
		return stand_over_collection(merge, id, ret, &base, item->text);
	merge->collection = key;
	merge->member_adopted = false;
	ret = ednfile_each_member(merge->theirs, key, merge_member, merge);
	return ret ? ret : merge_entity(merge, id, true, SLICE_LITERAL("{}"));
}

/* ---- what theirs lacks ---- */

typedef int lack_fn(struct merge *merge, struct entity_id id, bool collection);

struct walk {
	struct merge *merge;
	lack_fn *fn;
	struct slice key;
};

/* Theirs lacks it, or has something of the other kind there. */
static int walk_one(struct walk *walk, struct entity_id id, bool collection)
{
	struct slice text;
	int ret = memory_entity_text(walk->merge->theirs, id, collection, &text);

	return ret == -ENOENT ? walk->fn(walk->merge, id, collection) : ret;
}

static int walk_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct walk *walk = context;

	(void)item;
	return walk_one(walk, (struct entity_id){walk->key, member}, false);
}

/* Members before their collection, so that an adopted deletion finds it empty. */
static int walk_key(void *context, struct slice key, const struct ednfile_item *item)
{
	struct walk *walk = context;
	bool collection = ednfile_is_collection(walk->merge->m->file, key);
	int ret = 0;

	(void)item;
	walk->key = key;
	if (collection)
		ret = ednfile_each_member(walk->merge->m->file, key, walk_member, walk);
	return ret ? ret : walk_one(walk, (struct entity_id){.key = key}, collection);
}

static int walk_ours(struct merge *merge, lack_fn *fn)
{
	struct walk walk = {.merge = merge, .fn = fn};

	return ednfile_each(merge->m->file, walk_key, &walk);
}

static int count_lack(struct merge *merge, struct entity_id id, bool collection)
{
	struct saved_base base;
	int ret = merge_judge(merge, id, IDENTITY_ABSENT, &base);

	if (ret < 0 || merge->own)
		return ret < 0 ? ret : 0;
	/* what was made here since is none of his */
	if (ret == VERDICT_STALE && base.epoch && !base.value.high && !base.value.low)
		merge->ours -= !collection;
	else
		merge->missing += !collection;
	return 0;
}

static int merge_lack(struct merge *merge, struct entity_id id, bool collection)
{
	struct change c = {.kind = collection ? CHANGE_UNKEY : CHANGE_DELETE, .id = id};
	struct saved_base base;
	struct hash128 theirs;
	bool absent;
	int ret = merge_identity_in(merge->m, merge->theirs, id, &theirs);

	absent = !theirs.high && !theirs.low;
	if (!ret)
		ret = merge_judge(merge, id, theirs, &base);
	if (ret < 0)
		return ret;
	if (ret == VERDICT_ADOPT && !(absent && merge->keep_absent)) {
		change_encode(&merge->lacks, &c);
		merge->adoptions++;
		return 0;
	}
	/* where theirs has something else there, that was judged already */
	if (!absent)
		return 0;
	merge->stale += ret == VERDICT_STALE && !merge->own;
	merge->conflicts += ret == VERDICT_CONFLICT;
	return merge_stand(merge, id, &base, theirs);
}

/* ---- the whole ---- */

int merge_compare(struct merge *merge)
{
	struct change epoch = {.kind = CHANGE_EPOCH};
	struct memory *m = merge->m;
	struct ednfile_info info;
	int ret = tree_load_below(m->tree, tree_root(m->tree));

	if (ret)
		return ret;
	merge->sequence = m->sequence;
	merge->first_ino = merge->next_ino = m->next_ino;
	merge->version = m->version;
	merge->ours = tree_documents(m->tree);
	merge->missing = 0;
	merge->adoptions = merge->stale = merge->conflicts = 0;
	buf_reset(&merge->lacks);
	buf_reset(&merge->payload);
	table_release(&merge->standing, NULL);
	ednfile_info(merge->theirs, &info);
	merge->removed = !info.exists;
	epoch.saved.base.epoch = m->epoch + 1;
	if (!merge->own && !merge->removed)
		change_encode(&merge->lacks, &epoch);
	ret = walk_ours(merge, count_lack);
	merge->keep_absent =
		merge->missing && memory_lacks_most(merge->theirs, merge->missing, merge->ours);
	if (!ret)
		ret = ednfile_each(merge->theirs, merge_key, merge);
	return ret ? ret : walk_ours(merge, merge_lack);
}
