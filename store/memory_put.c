/* SPDX-License-Identifier: MIT */
#include "memory_event.h"

#include <errno.h>

static int check_writable(const struct memory *m, struct err *err)
{
	return m->options.read_only ? err_set(err, -EROFS, "mounted read-only") : 0;
}

int memory_may_create(struct memory *m, struct slice path, struct err *err)
{
	struct path_place place = PATH_PLACE_INIT;
	struct target t = TARGET_INIT;
	int ret = check_writable(m, err);

	if (!ret)
		ret = path_parse(m->options.schema, path, &place, err);
	if (ret)
		return ret;
	pthread_rwlock_wrlock(&m->lock);
	if (place.kind == PATH_DIRECTORY) {
		struct tree_node *node;

		ret = tree_find(m->tree, path, &node);
		ret = ret == -ENOENT ? 0 : ret;
		if (!ret && place.lenient && !(node && node->dir && node->dir->keyed) &&
			!held_has_key(m, buf_slice(&place.key)))
			ret = err_set(err, -EINVAL,
				"Ouroboros could not read memory.edn with that key");
	} else {
		ret = target_resolve(m, path, &t, err);
		if (!ret)
			ret = target_check_free(m, &t, err);
	}
	pthread_rwlock_unlock(&m->lock);
	target_release(&t);
	path_place_release(&place);
	return ret;
}

int memory_check(struct memory *m, struct slice path, struct slice json, struct err *err)
{
	struct save save = {0};
	struct target t = TARGET_INIT;
	int ret = check_writable(m, err);

	if (!ret)
		ret = save_judge(m, path, json, &save, err);
	if (!ret) {
		pthread_rwlock_wrlock(&m->lock);
		ret = target_resolve(m, path, &t, err);
		if (!ret)
			ret = target_check_free(m, &t, err);
		pthread_rwlock_unlock(&m->lock);
		target_release(&t);
	}
	save_release(&save);
	return ret;
}

/* ---- committing ---- */

uint64_t memory_new_ino(struct memory *m)
{
	uint64_t ino;

	pthread_rwlock_wrlock(&m->lock);
	ino = m->next_ino++;
	pthread_rwlock_unlock(&m->lock);
	return ino;
}

static int same_bytes(struct memory *m, struct doc *doc, struct slice json, bool *same)
{
	struct buf bytes = BUF_INIT;
	struct memory_stat st;
	int ret = doc_size(m, doc, &st);

	*same = false;
	if (ret || st.size != json.len)
		return ret;
	ret = doc_bytes(m, doc, &bytes, NULL);
	*same = !ret && slice_equal(buf_slice(&bytes), json);
	buf_release(&bytes);
	return ret == -EFBIG ? 0 : ret; /* it is none that was saved */
}

/* The change of an existing document: no more than there is to change. */
static int fill_existing(struct memory *m, struct target *t, const struct save *save,
	struct slice json, struct change *c, bool *same)
{
	int ret = same_bytes(m, &t->doc, json, same);

	if (ret)
		return ret;
	c->saved = t->doc.record;
	if (*same) {
		c->kind = CHANGE_ATTRIBUTES;
		/* the same bytes are the same value */
		c->saved.identity = save->identity;
		c->saved.text_hash = hash128(t->doc.item.text.ptr, t->doc.item.text.len);
	}
	return 0;
}

static int commit_save(struct memory *m, struct target *t, struct save *save, struct slice json,
	const struct memory_attributes *attributes, bool *same, struct err *err)
{
	struct timespec now = memory_now();
	struct change c = {.kind = CHANGE_PUT, .id = t->doc.id};
	int ret = 0;

	*same = false;
	if (t->exists)
		ret = fill_existing(m, t, save, json, &c, same);
	else
		c.saved = (struct saved_record){.mode = m->default_mode,
			.ino = attributes && attributes->ino ? attributes->ino : m->next_ino};
	if (ret)
		return err_set(err, ret, "%s", strerror(-ret));
	c.saved.has_mtime = true;
	c.saved.mtime = attributes && attributes->has_mtime ? attributes->mtime : now;
	if (attributes && attributes->has_mode)
		c.saved.mode = attributes->mode & 07777;
	if (c.kind == CHANGE_PUT) {
		c.saved.has_bytes = true;
		c.saved.bytes = json;
		c.saved.version = m->version + 1;
		c.saved.identity = save->identity;
		c.saved.text_hash = hash128(save->text.ptr, save->text.len);
		c.text = buf_slice(&save->text);
	}
	return memory_commit_text(m, &c, 1, &save->text, now, err);
}

/* st after a commit: of the very document that was committed. */
static int stat_after(struct memory *m, struct slice path, struct memory_stat *st)
{
	struct doc doc = DOC_INIT;
	int ret = doc_find(m, path, &doc);

	if (!ret)
		ret = doc_load(m, &doc);
	if (!ret) {
		doc_stat(&doc, st);
		ret = doc_size(m, &doc, st);
	}
	doc_release(&doc);
	return ret;
}

static int put(struct memory *m, struct slice path, struct slice json,
	const struct memory_attributes *attributes, struct memory_stat *st, bool *same,
	struct err *err)
{
	struct save save = {0};
	struct target t = TARGET_INIT;
	int ret = check_writable(m, err);

	if (!ret)
		ret = save_judge(m, path, json, &save, err);
	if (ret)
		goto out;
	pthread_rwlock_wrlock(&m->lock);
	ret = target_resolve(m, path, &t, err);
	if (!ret)
		ret = target_check_value(m, &t, save.is_map, err);
	if (!ret)
		ret = target_check_free(m, &t, err);
	if (!ret)
		ret = commit_save(m, &t, &save, json, attributes, same, err);
	target_release(&t);
	if (!ret && st)
		ret = stat_after(m, path, st);
	pthread_rwlock_unlock(&m->lock);
out:
	save_release(&save);
	return ret;
}

int memory_put(struct memory *m, struct slice path, struct slice json,
	const struct memory_attributes *attributes, struct memory_stat *st, bool *unchanged,
	struct err *err)
{
	struct err reason = {0};
	struct memory_done done = {
		.name = "memory/save", .path = path, .err = &reason, .start_ms = memory_clock_ms()};
	bool same = false;

	done.ret = put(m, path, json, attributes, st, &same, &reason);
	if (!done.ret && unchanged)
		*unchanged = same;
	if (same)
		done.detail = "unchanged";
	memory_tell_done(m, &done);
	if (done.ret && err)
		*err = reason;
	return done.ret;
}

static int delete (struct memory *m, struct slice path, struct err *err)
{
	struct change c = {.kind = CHANGE_DELETE};
	struct doc doc = DOC_INIT;
	int ret = check_writable(m, err);

	if (ret)
		return ret;
	pthread_rwlock_wrlock(&m->lock);
	ret = doc_find(m, path, &doc);
	c.id = doc.id;
	if (!ret)
		ret = memory_commit(m, &c, 1, memory_now(), err);
	else
		err_set(err, ret, "%s", strerror(-ret));
	doc_release(&doc);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

int memory_delete(struct memory *m, struct slice path, struct err *err)
{
	struct memory_done done = {
		.name = "memory/delete", .path = path, .start_ms = memory_clock_ms()};

	done.ret = delete (m, path, err);
	memory_tell_done(m, &done);
	return done.ret;
}

/* ---- attributes ---- */

static int set_directory(struct memory *m, struct slice path, const struct tree_node *node,
	const struct memory_attributes *attributes)
{
	struct change c = {.kind = CHANGE_DIRECTORY, .id.key = path};

	c.has_mode = node->dir->has_mode || attributes->has_mode;
	c.saved.mode = attributes->has_mode ? attributes->mode & 07777 : node->dir->mode;
	c.saved.has_mtime = node->dir->has_mtime || attributes->has_mtime;
	c.saved.mtime = attributes->has_mtime ? attributes->mtime : node->dir->mtime;
	c.saved.ino = memory_directory_ino(m, node);
	return memory_commit(m, &c, 1, memory_now(), NULL);
}

static int set_document(struct memory *m, struct tree_node *node,
	const struct memory_attributes *attributes)
{
	struct change c = {.kind = CHANGE_ATTRIBUTES};
	struct doc doc = DOC_INIT;
	int ret = doc_id(m, node, &doc);

	if (!ret)
		ret = doc_load(m, &doc);
	if (!ret)
		ret = doc_identity(m, &doc);
	if (!ret) {
		c.id = doc.id;
		c.saved = doc.record;
		if (attributes->has_mode)
			c.saved.mode = attributes->mode & 07777;
		if (attributes->has_mtime) {
			c.saved.mtime = attributes->mtime;
			c.saved.has_mtime = true;
		}
		ret = memory_commit(m, &c, 1, memory_now(), NULL);
	}
	doc_release(&doc);
	return ret;
}

int memory_set_attributes(struct memory *m, struct slice path,
	const struct memory_attributes *attributes)
{
	struct tree_node *node;
	int ret = check_writable(m, NULL);

	if (ret)
		return ret;
	pthread_rwlock_wrlock(&m->lock);
	ret = tree_find(m->tree, path, &node);
	if (ret)
		;
	else if (node->dir)
		ret = set_directory(m, path, node, attributes);
	else
		ret = set_document(m, node, attributes);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}
