/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <string.h>

/*
 * Taking over a file of EDN: its entities are put in place of ours, what it lacks stays, or goes when it is to
 * replace all. Unlike another writer's memory.edn nothing is judged: someone asked for it. One record of the
 * journal holds all of it, so that a kill leaves all or nothing.
 */
struct import {
	struct memory *m;
	struct memory_import *options;
	struct ednfile *theirs;
	struct buf lacks;   /* changes that make way: first */
	struct buf payload; /* all others */
	struct table verdicts;
	struct slice key; /* whose members are walked */
	uint64_t next_ino, version;
	struct timespec now;
	struct err *err;
};

static int tell(const struct import *im, enum memory_import_kind kind, struct entity_id id)
{
	struct buf text = BUF_INIT;
	int ret;

	im->options->count[kind]++;
	if (!im->options->fn)
		return 0;
	entity_id_text(&text, id);
	ret = buf_error(&text);
	if (!ret)
		im->options->fn(im->options->context, kind, buf_slice(&text));
	buf_release(&text);
	return ret;
}

/* ---- what goes ---- */

static int remove_entity(struct import *im, struct entity_id id, bool collection)
{
	struct change c = {.kind = collection ? CHANGE_UNKEY : CHANGE_DELETE, .id = id};
	int ret = collection ? 0 : tell(im, MEMORY_IMPORT_REMOVES, id);

	return ret ? ret : memory_encode(im->m, &im->lacks, &c);
}

static int remove_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct import *im = context;

	(void)item;
	return remove_entity(im, (struct entity_id){im->key, member}, false);
}

/* A whole key of ours. Members before their collection, so that it is found empty. */
static int remove_key(struct import *im, struct slice key)
{
	bool collection = ednfile_is_collection(im->m->file, key);
	int ret = 0;

	im->key = key;
	if (collection)
		ret = ednfile_each_member(im->m->file, key, remove_member, im);
	return ret ? ret : remove_entity(im, (struct entity_id){.key = key}, collection);
}

static int remove_member_if_lacking(void *context, struct slice member,
	const struct ednfile_item *item)
{
	struct import *im = context;
	struct ednfile_item there;
	int ret = ednfile_get(im->theirs, im->key, member, &there);

	return ret == -ENOENT ? remove_member(im, member, item) : ret;
}

static int remove_if_lacking(void *context, struct slice key, const struct ednfile_item *item)
{
	struct import *im = context;
	struct ednfile_item there;
	int ret;

	(void)item;
	if (!ednfile_is_collection(im->theirs, key)) {
		ret = ednfile_get(im->theirs, key, slice_of(NULL, 0), &there);
		return ret == -ENOENT ? remove_key(im, key) : ret;
	}
	im->key = key;
	if (!ednfile_is_collection(im->m->file, key))
		return 0; /* made way for already */
	return ednfile_each_member(im->m->file, key, remove_member_if_lacking, im);
}

/* ---- what comes ---- */

static int check_free(struct import *im, struct entity_id id)
{
	struct target t = TARGET_INIT;
	int ret;

	t.doc.id = id;
	entity_id_name(&t.doc.name, id);
	ret = buf_error(&t.doc.name);
	if (!ret)
		ret = target_check_free(im->m, &t, im->err);
	buf_release(&t.doc.name);
	return ret;
}

/* What is known of the document beside its value stays, where there is one. */
static int fill_saved(struct import *im, struct entity_id id, struct slice text,
	struct saved_record *saved)
{
	struct memory *m = im->m;
	struct doc doc = DOC_INIT;
	struct tree_node *node;
	int ret = memory_find_node(m, id, false, &node);

	*saved = (struct saved_record){.mode = m->default_mode};
	if (ret)
		return ret;
	if (node) {
		ret = doc_id(m, node, &doc);
		if (!ret)
			ret = doc_load(m, &doc);
		*saved = doc.record;
	} else {
		saved->ino = im->next_ino++;
	}
	doc_release(&doc);
	if (!ret)
		ret = memory_text_identity(im->m, text, &saved->identity);
	saved->base = (struct saved_base){0};
	saved->text_hash = hash128(text.ptr, text.len);
	saved->has_bytes = false;
	saved->bytes = saved->text = slice_of(NULL, 0);
	saved->has_mtime = true;
	saved->mtime = im->now;
	saved->version = ++im->version;
	return ret;
}

static int put_entity(struct import *im, struct entity_id id, struct slice text)
{
	struct change c = {.kind = CHANGE_PUT, .id = id, .text = text};
	bool same = false;
	struct slice ours;
	bool is_new;
	int ret = memory_entity_text(im->m->file, id, false, &ours);

	is_new = ret == -ENOENT;
	if (!ret)
		ret = memory_identical(im->m, &im->verdicts, ours, text, &same);
	if (same || (ret && !is_new))
		return ret;
	ret = is_new ? check_free(im, id) : 0;
	if (!ret)
		ret = tell(im, is_new ? MEMORY_IMPORT_ADDS : MEMORY_IMPORT_CHANGES, id);
	if (!ret)
		ret = fill_saved(im, id, text, &c.saved);
	return ret ? ret : memory_encode(im->m, &im->payload, &c);
}

static int put_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct import *im = context;

	return put_entity(im, (struct entity_id){im->key, member}, item->text);
}

static int put_key(void *context, struct slice key, const struct ednfile_item *item)
{
	struct import *im = context;
	struct change c = {.kind = CHANGE_COLLECTION, .id = {.key = key}};
	bool theirs = ednfile_is_collection(im->theirs, key);
	bool ours = ednfile_is_collection(im->m->file, key);
	struct ednfile_item there;
	int ret = ednfile_get(im->m->file, key, slice_of(NULL, 0), &there);

	/* of the other kind: it makes way */
	if (!ret && theirs != ours)
		ret = remove_key(im, key);
	if (ret && ret != -ENOENT)
		return ret;
	if (!theirs)
		return put_entity(im, c.id, item->text);
	im->key = key;
	ret = ednfile_each_member(im->theirs, key, put_member, im);
	return ret || ours ? ret : memory_encode(im->m, &im->payload, &c);
}

/* ---- the whole ---- */

/* A memory.edn that is missing is empty; what someone named, and it is not there, is a slip. */
static int check_exists(struct import *im)
{
	struct ednfile_info info;

	ednfile_info(im->theirs, &info);
	return info.exists
		       ? 0
		       : err_set(im->err, -ENOENT, "%s: %s", im->options->path, strerror(ENOENT));
}

/* What Ouroboros could not read is let in by nobody. */
static int check_readable(struct import *im)
{
	struct table tokens = {0};
	struct held_adding adding = {im->m, &tokens};
	struct slice token;
	size_t at = 0;
	void *value;
	int ret = ednfile_each(im->theirs, held_add_entry, &adding);

	while (!ret && table_next(&tokens, &at, &token, &value))
		if (!table_get(&im->m->held, token))
			ret = err_set(im->err, -EBADMSG,
				"%s: Ouroboros could not read memory.edn with %.*s in it",
				im->options->path, token.len < 100 ? (int)token.len : 100,
				token.ptr);
	table_release(&tokens, NULL);
	return ret;
}

/* Under the writer's lock. */
static int import_locked(struct import *im)
{
	struct memory *m = im->m;
	int ret = memory_flush_ghosts(m);

	im->next_ino = m->next_ino;
	im->version = m->version;
	im->now = memory_now();
	if (!ret)
		ret = check_readable(im);
	if (!ret)
		ret = ednfile_each(im->theirs, put_key, im);
	if (!ret && im->options->replace)
		ret = ednfile_each(m->file, remove_if_lacking, im);
	buf_add_slice(&im->lacks, buf_slice(&im->payload));
	if (!ret)
		ret = buf_error(&im->lacks);
	if (ret || im->options->dry_run || !im->lacks.len)
		return ret;
	return memory_commit_payload(m, JOURNAL_ADOPTION, &im->lacks, im->now, im->err);
}

int memory_import(struct memory *m, struct memory_import *options, struct err *err)
{
	struct ednfile_options file_options = {
		.max_depth = EDN_SAVE_DEPTH, .schema = m->options.schema, .settle_ms = 1};
	struct err reason = {0};
	struct import im = {.m = m, .options = options, .err = &reason};
	char described[ERR_DESCRIBED];
	int ret;

	memset(options->count, 0, sizeof(options->count));
	if (m->options.read_only && !options->dry_run)
		return err_set(err, -EROFS, "opened read-only");
	ret = ednfile_open(&im.theirs, options->path, &file_options, &reason);
	if (!ret)
		ret = check_exists(&im);
	if (!ret) {
		pthread_rwlock_wrlock(&m->lock);
		ret = import_locked(&im);
		pthread_rwlock_unlock(&m->lock);
	}
	table_release(&im.verdicts, NULL);
	ednfile_free(im.theirs);
	buf_release(&im.lacks);
	buf_release(&im.payload);
	if (ret && reason.line)
		err_set(err, ret, "%s:%s", options->path,
			err_describe(&reason, described, sizeof(described)));
	else if (ret)
		err_set(err, ret, "%s", reason.code ? reason.text : strerror(-ret));
	return ret;
}

int memory_text(struct memory *m, struct buf *text)
{
	int ret;

	pthread_rwlock_wrlock(&m->lock);
	ret = memory_flush_ghosts(m);
	if (!ret)
		ret = ednfile_text(m->file, text);
	pthread_rwlock_unlock(&m->lock);
	return ret ? ret : buf_error(text);
}
