/* SPDX-License-Identifier: MIT */
#include "memory_merge.h"

#include <errno.h>

/* Entity by entity: theirs against ours, then what theirs lacks. The rule is in memory_merge.h. */

/* ---- judging ---- */

/* What theirs has at id, whatever its kind. */
static int identity_in(const struct memory *m, const struct ednfile *file, struct entity_id id,
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
	int ret = identity_in(m, m->file, id, &ours);

	if (ret)
		return ret;
	/* what stood here then may be forgotten for all that stood here since */
	if (left_alone && is_as_left(m, name, theirs))
		return VERDICT_STALE;
	untouched = left_alone ? is_as_left(m, name, ours) : hash128_equal(ours, base->value);
	return untouched ? VERDICT_ADOPT : VERDICT_CONFLICT;
}

struct judging {
	struct merge *merge;
	struct slice key;
	bool news;
};

static int judge(struct merge *merge, struct entity_id id, struct hash128 theirs,
	struct saved_base *base);

/* -EEXIST: this one does. */
static int find_standing(void *context, struct slice member, const struct ednfile_item *item)
{
	struct judging *judging = context;
	struct entity_id id = {judging->key, member};
	struct saved_base base;
	int ret = judge(judging->merge, id, IDENTITY_ABSENT, &base);

	(void)item;
	return ret < 0 ? ret : ret == VERDICT_ADOPT ? 0 : -EEXIST;
}

/* A member that theirs lacks, and that stands for all that, keeps the key that it is under. */
static int has_standing_member(struct merge *merge, struct entity_id id)
{
	struct judging judging = {.merge = merge, .key = id.key};
	const struct ednfile *ours = merge->m->file;
	int ret;

	if (id.member.ptr || !ednfile_is_collection(ours, id.key) ||
		ednfile_is_collection(merge->theirs, id.key))
		return 0;
	ret = ednfile_each_member(ours, id.key, find_standing, &judging);
	return ret == -EEXIST ? 1 : ret;
}

/* Of a difference; the base of id, if it has one, goes to base. Negative errno or enum verdict. */
static int judge(struct merge *merge, struct entity_id id, struct hash128 theirs,
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
		ret = has_standing_member(merge, id);
		if (ret == 1 && hash128_equal(theirs, IDENTITY_ABSENT))
			ret = VERDICT_STALE;
		else
			ret = ret < 0 ? ret : ret ? VERDICT_CONFLICT : VERDICT_ADOPT;
	}
	buf_release(&name);
	return ret;
}

/* Ours stays; from now on its base is what theirs has, and what stood here is still ours. */
static int stand(struct merge *merge, struct entity_id id, const struct saved_base *base,
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

/* ---- adopting ---- */

static int adopt_value(struct merge *merge, struct entity_id id, struct slice text)
{
	struct memory *m = merge->m;
	struct change c = {.kind = CHANGE_PUT, .id = id, .text = text};
	struct buf path = BUF_INIT;
	struct doc doc = DOC_INIT;
	int ret = memory_id_path(m, id, false, &path);

	if (!ret)
		ret = doc_find(m, buf_slice(&path), &doc);
	if (!ret)
		ret = doc_load(m, &doc);
	c.saved = doc.record;
	if (ret == -ENOENT) {
		c.saved = (struct saved_record){.mode = m->default_mode, .ino = merge->next_ino++};
		ret = 0;
	}
	doc_release(&doc);
	buf_release(&path);
	if (ret)
		return ret;
	c.saved.base = (struct saved_base){0};
	doc.item.text = text;
	ret = doc_identity(m, &doc);
	c.saved.identity = doc.record.identity;
	c.saved.text_hash = doc.record.text_hash;
	c.saved.has_bytes = false;
	c.saved.has_mtime = true;
	c.saved.mtime = memory_now();
	c.saved.version = ++merge->version;
	change_encode(&merge->payload, &c);
	return ret;
}

static int adopt(struct merge *merge, struct entity_id id, bool collection, struct slice text)
{
	struct change c = {.kind = CHANGE_COLLECTION, .id = id};

	merge->adoptions++;
	if (!collection)
		return adopt_value(merge, id, text);
	change_encode(&merge->payload, &c);
	return 0;
}

/* Is it shown from its text, by which an equal value may be another document: the order in maps and sets is the text's? */
static int shows_text(struct memory *m, struct entity_id id)
{
	struct buf path = BUF_INIT;
	struct doc doc = DOC_INIT;
	int ret = memory_id_path(m, id, false, &path);

	if (!ret)
		ret = doc_find(m, buf_slice(&path), &doc);
	if (!ret)
		ret = doc_load_shown(m, &doc);
	if (!ret)
		ret = !doc.record.has_bytes;
	doc_release(&doc);
	buf_release(&path);
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

	if (!ret)
		ret = memory_identical(merge->m, &merge->verdicts, ours, text, &same);
	if (same && !collection && !merge->own && !slice_equal(ours, text)) {
		ret = shows_otherwise(merge->m, id, ours, text);
		return ret == 1 ? adopt(merge, id, false, text) : ret;
	}
	if (same || (ret && ret != -ENOENT))
		return ret;
	ret = identity_in(merge->m, merge->theirs, id, &theirs);
	if (!ret)
		ret = judge(merge, id, theirs, &base);
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
	return stand(merge, id, &base, theirs);
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
		ret = judge(merge, id, IDENTITY_COLLECTION, base);
	return ret == -ENOENT ? VERDICT_ADOPT : ret;
}

/* news: theirs has more than a copy of what was. */
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
	verdict = judge(judging->merge, id, theirs, &base);
	if (verdict < 0)
		return verdict;
	judging->news |= verdict != VERDICT_STALE;
	return stand(judging->merge, id, &base, theirs);
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
	return ret ? ret : stand(merge, id, base, IDENTITY_COLLECTION);
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
	int ret = judge(merge, id, IDENTITY_ABSENT, &base);

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
	int ret = identity_in(merge->m, merge->theirs, id, &theirs);

	absent = !theirs.high && !theirs.low;
	if (!ret)
		ret = judge(merge, id, theirs, &base);
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
	return stand(merge, id, &base, theirs);
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
