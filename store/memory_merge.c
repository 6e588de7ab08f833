/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>

/*
 * Merging what someone else wrote to memory.edn, entity by entity: a document, a member, the bare
 * existence of a collection.
 *
 *	theirs = ours               nothing
 *	not changed here since      theirs is adopted
 *	theirs = base               their copy is stale: ours stands
 *	else                        ours stands, theirs is kept as a conflict
 *
 * base: the value in the last file before our first change (memory.bases). Absence is a value.
 */
enum { FEW_ENTITIES = 8 };

struct merge {
	struct memory *m;
	struct ednfile *theirs;
	struct buf found;        /* theirs as it was, when it is to be kept whole */
	struct buf payload;      /* changes that adopt */
	struct slice collection; /* whose members are walked */
	size_t ours, missing;    /* entities of ours, and how many of these theirs lacks */
	bool keep_absent;        /* the writer started empty: what it lacks is no deletion */
	uint64_t next_ino, version;
	uint64_t sequence, first_ino; /* of ours when it was compared */
	struct table verdicts;        /* memory_identical's */
	struct table held;            /* what in theirs clojure.edn can't read */
};

/* ---- comparing ---- */

static const struct base *base_of(struct memory *m, struct entity_id id)
{
	struct buf name = BUF_INIT;
	const struct base *base;

	entity_id_name(&name, id);
	base = table_get(&m->bases, buf_slice(&name));
	buf_release(&name);
	return base;
}

/* ---- conflicts ---- */

static int keep_theirs(struct merge *merge, struct entity_id id, struct slice text)
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
	doc.item.text = text;
	ret = doc_identity(&doc);
	c.saved.identity = doc.record.identity;
	c.saved.text_hash = doc.record.text_hash;
	c.saved.has_bytes = false;
	c.saved.has_mtime = true;
	c.saved.mtime = memory_now();
	c.saved.version = ++merge->version;
	change_encode(&merge->payload, &c);
	return ret;
}

/* One entity of theirs against ours. */
static int merge_entity(struct merge *merge, struct entity_id id, bool collection,
	struct slice theirs)
{
	struct memory *m = merge->m;
	struct change c = {.kind = CHANGE_COLLECTION, .id = id};
	const struct base *base = base_of(m, id);
	struct slice ours;
	bool same = false;
	int ret = memory_entity_text(m->file, id, collection, &ours);

	if (!ret)
		ret = memory_identical(&merge->verdicts, ours, theirs, &same);
	if (ret && ret != -ENOENT)
		return ret;
	if (same)
		return 0;
	if (!base && !collection)
		return adopt_value(merge, id, theirs);
	if (!base)
		change_encode(&merge->payload, &c);
	if (!base || collection)
		return 0;
	ret = !base->exists ? 0
			    : memory_identical(&merge->verdicts, slice_of(base->text, base->len),
				      theirs, &same);
	return ret || same ? ret : keep_theirs(merge, id, theirs);
}

static int merge_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct merge *merge = context;

	return merge_entity(merge, (struct entity_id){merge->collection, member}, false,
		item->text);
}

static int merge_key(void *context, struct slice key, const struct ednfile_item *item)
{
	struct merge *merge = context;
	bool collection = ednfile_is_collection(merge->theirs, key);
	int ret = merge_entity(merge, (struct entity_id){.key = key}, collection,
		collection ? SLICE_LITERAL("{}") : item->text);

	merge->collection = key;
	return ret || !collection ? ret
				  : ednfile_each_member(merge->theirs, key, merge_member, merge);
}

/* ---- what theirs lacks ---- */

typedef int lack_fn(struct merge *merge, struct entity_id id, bool collection, bool lacking);

struct walk {
	struct merge *merge;
	lack_fn *fn;
	struct slice key;
};

static int walk_one(struct walk *walk, struct entity_id id, bool collection)
{
	struct slice text;
	int ret;

	if (base_of(walk->merge->m, id))
		return 0;
	ret = memory_entity_text(walk->merge->theirs, id, collection, &text);
	if (ret && ret != -ENOENT)
		return ret;
	return walk->fn(walk->merge, id, collection, ret == -ENOENT);
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

static int count_lack(struct merge *merge, struct entity_id id, bool collection, bool lacking)
{
	(void)id;
	merge->ours += !collection;
	merge->missing += !collection && lacking;
	return 0;
}

static int adopt_lack(struct merge *merge, struct entity_id id, bool collection, bool lacking)
{
	struct change c = {.kind = collection ? CHANGE_UNKEY : CHANGE_DELETE, .id = id};

	if (lacking)
		change_encode(&merge->payload, &c);
	return 0;
}

/* Puts back what a writer that started empty lacks. */
static int restore_lack(struct merge *merge, struct entity_id id, bool collection, bool lacking)
{
	struct slice text;
	int ret;

	if (!lacking)
		return 0;
	ret = memory_entity_text(merge->m->file, id, collection, &text);
	if (!ret)
		ret = ednfile_put(merge->theirs, id.key, id.member, text, NULL);
	return ret == -EEXIST ? 0 : ret;
}

static int walk_ours(struct merge *merge, lack_fn *fn)
{
	struct walk walk = {.merge = merge, .fn = fn};

	return ednfile_each(merge->m->file, walk_key, &walk);
}

/* ---- our pending changes, on top of theirs ---- */

static int put_ours(struct merge *merge, struct entity_id id, bool collection, struct slice text)
{
	struct slice there;
	int ret = memory_entity_text(merge->theirs, id, collection, &there);

	if (!ret && slice_equal(there, text))
		return 0;
	if (ret == -ENOMEM)
		return ret;
	/* what stands there may be of the other kind: theirs was kept as a conflict */
	if (id.member.ptr && !ednfile_is_collection(merge->theirs, id.key))
		ednfile_delete(merge->theirs, id.key, slice_of(NULL, 0));
	ret = ednfile_put(merge->theirs, id.key, id.member, text, NULL);
	return ret == -EEXIST ? keep_theirs(merge, id, text) : ret;
}

static int apply_ours(struct merge *merge)
{
	struct slice name;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(&merge->m->bases, &at, &name, &value)) {
		struct entity_id id;
		struct slice text;
		bool collection;

		if (!entity_id_of_name(name, &id))
			continue;
		collection = !id.member.ptr && ednfile_is_collection(merge->m->file, id.key);
		ret = memory_entity_text(merge->m->file, id, collection, &text);
		if (!ret)
			ret = put_ours(merge, id, collection, text);
		else if (ret == -ENOENT)
			ret = ednfile_delete(merge->theirs, id.key, id.member);
		if (ret == -ENOENT || ret == -ENOTDIR)
			ret = 0;
	}
	return ret;
}

/* ---- the whole ---- */

/* Under the lock, reading only: what is there to adopt? */
static int compare(struct merge *merge)
{
	struct memory *m = merge->m;
	int ret;

	merge->sequence = m->sequence;
	merge->first_ino = merge->next_ino = m->next_ino;
	merge->version = m->version;
	merge->ours = merge->missing = 0;
	buf_reset(&merge->payload);
	ret = walk_ours(merge, count_lack);
	merge->keep_absent = merge->missing > FEW_ENTITIES && merge->missing * 2 > merge->ours;
	if (!ret)
		ret = ednfile_each(merge->theirs, merge_key, merge);
	if (!ret && !merge->keep_absent)
		ret = walk_ours(merge, adopt_lack);
	return ret;
}

/* Comparing takes long: others go on reading meanwhile. */
static int compare_shared(struct merge *merge)
{
	struct memory *m = merge->m;
	int ret;

	pthread_rwlock_wrlock(&m->lock);
	ret = held_merge(&m->held, &merge->held);
	if (!ret)
		ret = memory_flush_ghosts(m);
	pthread_rwlock_unlock(&m->lock);
	if (ret)
		return ret;
	/* whoever comes in between: then it is all done under the writer's lock */
	pthread_rwlock_rdlock(&m->lock);
	ret = m->ghosts.count ? 0 : compare(merge);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

/* Under the writer's lock: from here on theirs changes, it becomes what the file is to be. */
static int settle(struct merge *merge, struct err *err)
{
	struct memory *m = merge->m;
	int ret = 0;

	if (m->ghosts.count || merge->sequence != m->sequence || merge->first_ino != m->next_ino) {
		ret = memory_flush_ghosts(m);
		if (!ret)
			ret = compare(merge);
	}
	if (!ret && merge->keep_absent) {
		ret = ednfile_text(merge->theirs, &merge->found);
		ret = ret ? ret : walk_ours(merge, restore_lack);
	}
	if (!ret)
		ret = apply_ours(merge);
	if (!ret && merge->keep_absent)
		ret = memory_set_aside(m, &merge->found, err);
	return ret;
}

static int merge_locked(struct merge *merge, struct err *err)
{
	struct memory *m = merge->m;
	struct ednfile *before = m->file;
	struct ednfile_info info;
	int ret = settle(merge, err);

	if (ret)
		return ret;
	m->file = merge->theirs;
	if (merge->payload.len)
		ret = memory_commit_payload(m, &merge->payload, memory_now(), err);
	if (ret && !m->broken) {
		m->file = before;
		return ret;
	}
	merge->theirs = before;
	ednfile_info(m->file, &info);
	m->default_mode = info.exists ? info.mode & 0666 : m->default_mode;
	m->rewrite_wanted = merge->keep_absent || m->bases.count > 0;
	return ret;
}

int memory_merge(struct memory *m, struct err *err)
{
	struct ednfile_options options = {.max_depth = EDN_LOAD_DEPTH, .schema = m->options.schema};
	struct merge merge = {.m = m};
	int ret;

	pthread_mutex_lock(&m->work.mutex);
	m->work.outside_changes++;
	pthread_mutex_unlock(&m->work.mutex);
	ret = ednfile_open(&merge.theirs, m->edn_path, &options, err);
	if (ret == -EBADMSG) {
		/* broken, and no byte of it has changed for a while: the good state goes there */
		ret = memory_set_aside(m, NULL, err);
		pthread_rwlock_wrlock(&m->lock);
		m->rewrite_wanted |= !ret;
		pthread_rwlock_unlock(&m->lock);
		return ret;
	}
	if (!ret)
		ret = ednfile_each(merge.theirs, held_add_entry, &merge.held);
	/* before the adoption begins: from then on the listener may hold readers up */
	if (!ret)
		ret = compare_shared(&merge);
	if (ret)
		goto out;
	pthread_mutex_lock(&m->adoption_lock);
	if (m->adoption)
		m->adoption(m->adoption_context, MEMORY_ADOPTION_BEGINS);
	pthread_rwlock_wrlock(&m->lock);
	ret = merge_locked(&merge, err);
	pthread_rwlock_unlock(&m->lock);
	if (m->adoption)
		m->adoption(m->adoption_context, MEMORY_ADOPTION_ENDS);
	pthread_mutex_unlock(&m->adoption_lock);
out:
	table_release(&merge.held, NULL);
	table_release(&merge.verdicts, NULL);
	ednfile_free(merge.theirs);
	buf_release(&merge.found);
	buf_release(&merge.payload);
	if (ret && err && !err->code)
		err_set(err, ret, "cannot merge: %s", strerror(-ret));
	return ret;
}
