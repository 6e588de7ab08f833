/* SPDX-License-Identifier: MIT */
#include "memory_merge.h"
#include "memory_event.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- what stands, on top of theirs ---- */

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
	return ret == -EEXIST ? merge_keep_theirs(merge, id, text) : ret;
}

static int apply_ours(struct merge *merge)
{
	struct slice name;
	size_t at = 0;
	void *value;
	int ret = 0;

	while (!ret && table_next(&merge->standing, &at, &name, &value)) {
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
	ret = m->ghosts.count ? 0 : merge_compare(merge);
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
			ret = merge_compare(merge);
	}
	/* what was sent away since is to come from ours, not from theirs */
	if (!ret)
		ret = tree_load_below(m->tree, tree_root(m->tree));
	if (!ret && merge->keep_absent && !m->options.read_only) {
		ret = ednfile_text(merge->theirs, &merge->found);
		if (!ret)
			ret = memory_set_aside(m, &merge->found, merge->kept, err);
	}
	if (!ret)
		ret = apply_ours(merge);
	/* it may hold all that is in the file */
	buf_insert(&merge->payload, buf_slice(&merge->lacks));
	if (!ret)
		ret = buf_error(&merge->lacks);
	return ret ? ret : buf_error(&merge->payload);
}

static int merge_locked(void *context, struct err *err)
{
	struct merge *merge = context;
	bool from = merge->from_elsewhere;
	struct memory *m = merge->m;
	struct ednfile *before = m->file;
	struct ednfile_info info;
	int ret = settle(merge, err);

	if (!ret && from)
		ret = ednfile_take_place(merge->theirs, before);
	if (ret)
		return ret;
	ednfile_keep_owner(merge->theirs, before);
	m->file = merge->theirs;
	ret = memory_adopt_payload(m, &merge->payload, err);
	merge->adopted = m->sequence;
	if (ret && !m->broken) {
		m->file = before;
		return ret;
	}
	merge->theirs = before;
	ednfile_info(m->file, &info);
	m->default_mode = info.exists ? info.mode & 0666 : m->default_mode;
	m->rewrite_wanted = from || merge->standing.count > 0;
	return ret;
}

static void tell_outside(struct memory *m, const struct merge *merge, double start_ms)
{
	char text[SET_ASIDE_NAME + 120];
	struct memory_event event = {.name = "outside-change",
		.store = "edn",
		.ret = merge->keep_absent ? -EBADMSG : 0,
		.count = merge->adoptions,
		.duration_ms = memory_clock_ms() - start_ms};

	snprintf(text, sizeof(text), "adopted %llu, stale %llu, conflicts %llu%s%s",
		(unsigned long long)merge->adoptions, (unsigned long long)merge->stale,
		(unsigned long long)merge->conflicts,
		!merge->keep_absent    ? ""
		: m->options.read_only ? ", lacks most, or is gone: what was there before is shown"
		: merge->kept[0]       ? ", lacked most: set aside as "
				       : ", was removed: written again",
		merge->kept);
	event.detail = slice_str(text);
	memory_tell(m, &event);
}

/* A mount that only reads leaves what it does not take where it is: until that is something else. */
static const char UNTIL_FORGOTTEN[] = ".";

/* With pace.mutex held. */
__attribute__((format(printf, 3, 4))) static void note_set_aside(struct work *work,
	const char *kept, const char *format, ...)
{
	va_list args;

	snprintf(work->kept, sizeof(work->kept), "%s", kept);
	va_start(args, format);
	vsnprintf(work->set_aside, sizeof(work->set_aside), format, args);
	va_end(args);
	work->set_aside_since = memory_now();
}

static void forget_set_aside(struct work *work)
{
	pthread_mutex_lock(&work->pace.mutex);
	work->kept[0] = '\0';
	pthread_mutex_unlock(&work->pace.mutex);
}

static void count_outside(const struct merge *merge)
{
	struct work *work = &merge->m->work;

	pthread_mutex_lock(&work->pace.mutex);
	work->outside_changes++;
	work->stale_put_back += merge->stale;
	work->conflicts += merge->conflicts;
	if (merge->keep_absent && merge->m->options.read_only)
		note_set_aside(work, UNTIL_FORGOTTEN,
			merge->removed ? "memory.edn was removed: what it held before is shown"
				       : "another writer left most of memory.edn out: what it held "
					 "before is shown");
	else if (merge->keep_absent && merge->kept[0])
		note_set_aside(work, merge->kept,
			"another writer left most of memory.edn out: it is kept beside as %s",
			merge->kept);
	pthread_mutex_unlock(&work->pace.mutex);
}

static void merge_release(struct merge *merge)
{
	table_release(&merge->standing, NULL);
	table_release(&merge->held, NULL);
	table_release(&merge->verdicts, NULL);
	ednfile_free(merge->theirs);
	buf_release(&merge->found);
	buf_release(&merge->lacks);
	buf_release(&merge->payload);
}

/* Where, but not what: that may be a key, and others read the log. */
static void tell_broken(struct memory *m, const struct err *reason, const char *kept)
{
	char text[SET_ASIDE_NAME + 80];
	struct memory_event event = {.name = "outside-change", .store = "edn", .ret = -EBADMSG};

	snprintf(text, sizeof(text), "broken at %u:%u: %s%s", reason->line, reason->column,
		kept ? "set aside as " : "what it held before is shown", kept ? kept : "");
	event.detail = slice_str(text);
	memory_tell(m, &event);
}

static void count_broken(struct memory *m, const struct err *reason, const char *kept)
{
	char described[ERR_DESCRIBED];

	err_describe(reason, described, sizeof(described));
	pthread_mutex_lock(&m->work.pace.mutex);
	m->work.outside_changes++;
	if (!kept)
		note_set_aside(&m->work, UNTIL_FORGOTTEN,
			"another writer left memory.edn broken: what it held before is shown: %s",
			described);
	else if (kept[0])
		note_set_aside(&m->work, kept,
			"another writer left memory.edn broken: it is kept beside as %s: %s", kept,
			described);
	pthread_mutex_unlock(&m->work.pace.mutex);
	if (!kept || kept[0])
		tell_broken(m, reason, kept);
}

/* Broken, and no byte of it has changed for a while, or even gone by now: the good state goes there. */
static int replace_broken(struct memory *m, const struct err *reason, struct err *err)
{
	char kept[SET_ASIDE_NAME];
	int ret = memory_set_aside(m, NULL, kept, err);

	pthread_rwlock_wrlock(&m->lock);
	m->rewrite_wanted |= !ret;
	if (!ret)
		ednfile_set_missing(m->file);
	pthread_rwlock_unlock(&m->lock);
	count_broken(m, reason, kept);
	return ret;
}

/* Touched, or its mode changed, or written again with the very bytes that we had left. */
static bool is_our_own(struct memory *m, const struct merge *merge)
{
	if (!merge->own || m->foreign)
		return false;
	pthread_rwlock_wrlock(&m->lock);
	ednfile_take_identity(m->file, merge->theirs);
	pthread_rwlock_unlock(&m->lock);
	return true;
}

/*
 * It holds what was committed before; but of what stands it holds something else, and how long ago that was
 * committed nobody knows: then none of it counts as written. The journal first, which has what was adopted.
 */
static int note_theirs(struct memory *m, const struct merge *merge, struct hash128 hash,
	struct err *err)
{
	struct err sync_err = {0};

	if (m->journal)
		journal_sync(m->journal, merge->adopted, &sync_err);
	return memory_note_file(m, "file", hash, merge->standing.count ? 0 : merge->adopted - 1,
		err);
}

static int open_theirs(struct merge *merge, const char *from, struct err *reason)
{
	struct memory *m = merge->m;
	const struct ednfile_options options = {.max_depth = EDN_LOAD_DEPTH,
		.schema = m->options.schema,
		.waited_ms = &m->work.waited_ms,
		.index_dir = from ? NULL : &m->dir.dir_fd,
		.resolved = !from,
		.broken = !from && m->options.read_only ? m->file : NULL,
		.exactly = from != NULL};

	return ednfile_open(&merge->theirs, from ? from : m->edn_path, &options, reason);
}

static int merge_theirs(struct merge *merge, double start_ms, struct err *err)
{
	struct memory *m = merge->m;
	struct held_adding adding = {m, &merge->held};
	struct hash128 hash = ednfile_loaded_hash(merge->theirs);
	int ret;

	if (m->options.read_only)
		forget_set_aside(&m->work);
	/*
	 * While it was left alone more may have been changed here than a base remembers: where nobody
	 * wrote there, nothing has to be judged.
	 */
	merge->own = !merge->from_elsewhere && hash128_equal(hash, m->work.file.hash);
	if (is_our_own(m, merge))
		return 0;
	ret = ednfile_each(merge->theirs, held_add_entry, &adding);
	/* before the adoption begins: from then on the listener may hold readers up */
	if (!ret)
		ret = compare_shared(merge);
	if (!ret)
		ret = memory_adopt(m, merge_locked, merge, err);
	if (ret)
		return ret;
	if (!merge->own) {
		count_outside(merge);
		tell_outside(m, merge, start_ms);
	}
	pace_signal(&m->work.pace, false); /* what stands is to be put back */
	m->foreign = false;
	return merge->from_elsewhere || merge->own ? 0 : note_theirs(m, merge, hash, err);
}

int memory_merge(struct memory *m, const char *from, struct err *err)
{
	struct merge merge = {.m = m, .from_elsewhere = from != NULL};
	double start_ms = memory_clock_ms();
	struct err reason = {0};
	int ret = open_theirs(&merge, from, &reason);

	if (ret == -EBADMSG && !from && m->options.read_only) {
		count_broken(m, &reason, NULL);
		return 0;
	}
	if (ret == -EBADMSG && !from)
		return replace_broken(m, &reason, err);
	if (ret && err)
		*err = reason;
	if (!ret)
		ret = merge_theirs(&merge, start_ms, err);
	merge_release(&merge);
	memory_resident_drop(m);
	if (ret && err && !err->code)
		err_set(err, ret, "cannot merge: %s", strerror(-ret));
	return ret;
}
