/* SPDX-License-Identifier: MIT */
#include "memory_program.h"

#include <errno.h>

/* ---- documents ---- */

static void put(struct fuzz *f, bool sure)
{
	const struct model_document *before;
	struct slice path = buf_slice(&f->path);
	struct memory_attributes attributes = {0};
	uint8_t how = program_next(f);
	struct memory_stat st;
	struct err err = {0};
	bool unchanged = false;
	int check = memory_check(f->memory, path, buf_slice(&f->bytes), NULL);
	int may = answered(memory_may_create(f->memory, path, NULL));
	int ret;

	attributes.has_mode = how & 1;
	attributes.mode = how & 2 ? 0444 : 0600;
	attributes.has_mtime = how & 4;
	attributes.mtime.tv_sec = how;
	ret = answered(memory_put(f->memory, path, buf_slice(&f->bytes),
		how & 7 ? &attributes : NULL, &st, &unchanged, &err));
	must(check == ret, "a check says what a put does");
	if (sure)
		well(ret, &err, "a good document is taken");
	if (ret)
		return;
	before = model_find(&f->model, path);
	must(before || !may, "it might be created");
	must(unchanged == (before && slice_equal(buf_slice(&before->bytes), buf_slice(&f->bytes))),
		"what changes nothing is told");
	must(st.size == f->bytes.len && (!before || before->ino == st.ino), "its attributes");
	must(!(how & 1) || st.mode == attributes.mode, "the mode is as asked");
	must(!(how & 4) || st.mtime.tv_sec == how, "the time is as asked");
	f->lost |= !model_put(&f->model, f->schema, path, buf_slice(&f->bytes), &st);
}

void do_put(struct fuzz *f)
{
	bool sure = program_take_path(f, &f->path);

	sure &= program_take_bytes(f);
	put(f, sure);
}

void do_delete(struct fuzz *f)
{
	bool there;

	program_take_path(f, &f->path);
	there = model_find(&f->model, buf_slice(&f->path)) != NULL;
	must((answered(memory_delete(f->memory, buf_slice(&f->path), NULL)) == 0) == there,
		"what is there can be deleted");
	model_remove(&f->model, buf_slice(&f->path));
}

void do_rename(struct fuzz *f)
{
	unsigned flags = program_next(f) % 5;
	struct slice from;
	struct slice to;
	struct err err = {0};
	bool sure;
	bool found;
	bool there;
	int ret;

	program_take_path(f, &f->path);
	sure = program_take_path(f, &f->other);
	from = buf_slice(&f->path);
	to = buf_slice(&f->other);
	found = model_find(&f->model, from);
	there = model_find(&f->model, to);
	ret = answered(memory_rename(f->memory, from, to, flags, &err));
	if (flags > MEMORY_EXCHANGE)
		must(ret == -EINVAL, "no such way to rename");
	else if (!found || ((flags & MEMORY_EXCHANGE) && !there))
		must(ret < 0, "nothing is renamed");
	else if ((flags & MEMORY_NOREPLACE) && there && !slice_equal(from, to))
		must(ret == -EEXIST, "nothing is replaced");
	else if (sure && !(flags & MEMORY_EXCHANGE))
		well(ret, &err, "a rename is taken");
	if (!ret)
		model_rename(&f->model, f->schema, from, to, flags);
}

void do_attributes(struct fuzz *f)
{
	struct model_document *document;
	struct memory_attributes attributes = {0};
	uint8_t how = program_next(f);
	int ret;

	program_take_path(f, &f->path);
	attributes.has_mode = how & 1;
	attributes.mode = how & 0777;
	attributes.has_mtime = how & 2;
	attributes.mtime = (struct timespec){how, how};
	ret = answered(memory_set_attributes(f->memory, buf_slice(&f->path), &attributes));
	document = model_find(&f->model, buf_slice(&f->path));
	must(!document || !ret, "a document has attributes");
	if (document && attributes.has_mode)
		document->mode = attributes.mode;
	if (document && attributes.has_mtime)
		document->mtime = attributes.mtime;
}

/* ---- directories ---- */

void do_rename_directory(struct fuzz *f)
{
	struct slice from;
	struct slice to;

	program_take_directory(f, &f->path);
	program_take_directory(f, &f->other);
	from = buf_slice(&f->path);
	to = buf_slice(&f->other);
	if (answered(memory_rename_directory(f->memory, from, to, NULL)))
		return;
	must(model_is_directory(&f->model, from), "what is renamed is there");
	must(slice_equal(from, to) || !model_is_directory(&f->model, to) ||
			model_is_empty(&f->model, to),
		"nothing is replaced");
	model_remove_collection(&f->model, slice_equal(from, to) ? slice_str("/") : to);
	model_rename_directory(&f->model, f->schema, from, to);
}

void do_remove_directory(struct fuzz *f)
{
	struct slice path;
	int ret;

	program_take_directory(f, &f->path);
	path = buf_slice(&f->path);
	ret = answered(memory_remove_directory(f->memory, path, NULL));
	must((ret == 0) ==
			(model_is_collection(&f->model, path) && model_is_empty(&f->model, path)),
		"an empty collection can be removed, and nothing else");
	if (!ret)
		model_remove_collection(&f->model, path);
}

static int count_name(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	(void)name;
	(void)kind;
	(*(size_t *)context) += ino != 0;
	return 0;
}

/* Whatever the path: each way of asking gives one answer. */
void do_look(struct fuzz *f)
{
	struct memory_stat st;
	struct slice path;
	const char *type;
	const char *source;
	size_t count = 0;
	bool is_document;
	bool is_directory;

	program_take_path(f, &f->path);
	path = buf_slice(&f->path);
	is_document = model_find(&f->model, path);
	is_directory = model_is_directory(&f->model, path);
	buf_reset(&f->bytes);
	buf_reset(&f->other);
	must((answered(memory_stat(f->memory, path, &st)) == 0) == (is_document || is_directory),
		"attributes of what is there");
	must((answered(memory_read(f->memory, path, NULL, &f->bytes, NULL)) == 0) == is_document,
		"bytes of documents");
	must((answered(memory_list(f->memory, path, count_name, &count)) == 0) == is_directory,
		"names in directories");
	must(answered(memory_describe(f->memory, path, &f->other, &type, &source)) == 0 ||
			!is_document,
		"the key of what is there");
}
