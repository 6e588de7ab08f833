/* SPDX-License-Identifier: MIT */
#include "memory_rename.h"
#include "memory_event.h"

#include <errno.h>

int rename_explain(struct err *err, int code)
{
	if (code && err && !err->code)
		err_set(err, code, "%s", strerror(-code));
	return code;
}

int rename_check(struct memory *m, const struct doc *source, const struct target *target,
	struct err *err)
{
	return target_check_value(m, target, source->item.type == EDN_MAP, err);
}

int rename_fill_put(const struct memory *m, struct change *c, struct doc *source,
	struct entity_id id)
{
	int ret = doc_identity(m, source);

	*c = (struct change){
		.kind = CHANGE_PUT, .id = id, .text = source->item.text, .saved = source->record};
	/* what was never saved shows the time it was first seen, there as here */
	c->saved.has_mtime = true;
	return ret;
}

static int rename_one(struct memory *m, struct doc *from, struct target *to, unsigned flags,
	struct err *err)
{
	struct change changes[2];
	int ret;

	if (from->node == to->doc.node)
		return 0;
	if (to->exists && (flags & MEMORY_NOREPLACE))
		return err_set(err, -EEXIST, "the target exists");
	ret = target_check_free(m, to, err);
	/* asking may have moved the file's texts */
	if (!ret)
		ret = ednfile_get(m->file, from->id.key, from->id.member, &from->item);
	if (!ret)
		ret = rename_check(m, from, to, err);
	if (!ret)
		ret = rename_fill_put(m, &changes[0], from, to->doc.id);
	if (ret)
		return ret;
	/* what replaces a document stands in its place, else it stays where it was */
	if (!to->exists)
		changes[0].from = from->id;
	changes[1] = (struct change){.kind = CHANGE_DELETE, .id = from->id};
	return memory_commit(m, changes, 2, memory_now(), err);
}

static int exchange(struct memory *m, struct doc *from, struct target *to, struct err *err)
{
	struct target back = {.doc.id = from->id, .exists = true};
	struct change changes[2];
	int ret;

	if (!to->exists)
		return err_set(err, -ENOENT, "there is nothing to exchange with");
	if (from->node == to->doc.node)
		return 0;
	ret = rename_check(m, from, to, err);
	if (!ret)
		ret = rename_check(m, &to->doc, &back, err);
	if (!ret)
		ret = rename_fill_put(m, &changes[0], from, to->doc.id);
	if (!ret)
		ret = rename_fill_put(m, &changes[1], &to->doc, from->id);
	return ret ? ret : memory_commit(m, changes, 2, memory_now(), err);
}

static int rename_document(struct memory *m, struct slice from, struct slice to, unsigned flags,
	struct err *err)
{
	struct doc source = DOC_INIT;
	struct target target = TARGET_INIT;
	int ret;

	if (m->options.read_only)
		return err_set(err, -EROFS, "mounted read-only");
	if ((flags & ~(unsigned)(MEMORY_NOREPLACE | MEMORY_EXCHANGE)) ||
		flags == (MEMORY_NOREPLACE | MEMORY_EXCHANGE))
		return err_set(err, -EINVAL, "no such way to rename");
	pthread_rwlock_wrlock(&m->lock);
	ret = doc_find(m, from, &source);
	if (!ret)
		ret = doc_load(m, &source);
	if (!ret)
		ret = target_resolve(m, to, &target, err);
	if (!ret && (flags & MEMORY_EXCHANGE))
		ret = exchange(m, &source, &target, err);
	else if (!ret)
		ret = rename_one(m, &source, &target, flags, err);
	target_release(&target);
	doc_release(&source);
	pthread_rwlock_unlock(&m->lock);
	return rename_explain(err, ret);
}

int memory_rename(struct memory *m, struct slice from, struct slice to, unsigned flags,
	struct err *err)
{
	struct memory_done done = {
		.name = "memory/rename", .path = from, .to = to, .start_ms = memory_clock_ms()};

	done.ret = rename_document(m, from, to, flags, err);
	memory_tell_done(m, &done);
	return done.ret;
}
