/* SPDX-License-Identifier: MIT */
#include "check_private.h"

#include <errno.h>
#include <string.h>

#include "check_child.h"
#include "eav_check.h"
#include "eav_private.h"

/* What data.mdb holds: by LMDB, in a child, where its pages are sound; else what is left, by hand. */
struct look {
	struct check_run *run;
	struct check_sink *sink; /* in the child */
	struct buf where;
};

static void tell(void *context, const char *where, const char *what)
{
	struct look *look = context;

	check_problem(look->run->check, look->run->eav.name, where, "%s", what);
}

/* ---- in the child ---- */

static int take_problem(void *context, const struct eav_problem *problem)
{
	struct look *look = context;
	const char *where = check_name(&look->where, problem->name);

	if (!where)
		return -ENOMEM;
	if (!problem->name.len && problem->number)
		buf_add_format(&look->where, "entity %llu", (unsigned long long)problem->number);
	if (problem->attribute.len) {
		buf_add_char(&look->where, ' ');
		buf_add_slice(&look->where, problem->attribute);
	}
	where = buf_cstr(&look->where);
	return where ? check_sink_tell(look->sink, where, problem->what) : -ENOMEM;
}

static int in_child(void *context, struct check_sink *sink)
{
	struct look *look = context;
	struct err err = {0};
	struct eav *eav;
	int ret = eav_open(&eav, look->run->check->dir_fd, look->run->check->path, true, &err);

	look->sink = sink;
	if (ret)
		return check_sink_tell(sink, "", err.text);
	ret = eav_check_all(eav, take_problem, look);
	eav_close(eav);
	buf_release(&look->where);
	return ret;
}

static int check_by_lmdb(struct look *look, struct err *err)
{
	struct check_file *file = &look->run->eav;
	int died = 0;
	int ret = check_in_child(in_child, tell, look, &died);

	if (died) {
		check_problem(look->run->check, file->name, "", "LMDB died of it (signal %d: %s)",
			died, strsignal(died));
		file->sound = false;
	}
	return ret ? err_set(err, ret, "%s: %s", file->name, strerror(-ret)) : 0;
}

/* ---- by hand ---- */

static int take_document(void *context, struct slice key, struct slice value)
{
	struct look *look = context;
	struct check_run *run = look->run;
	struct eav_record record;
	struct slice name;
	int ret = eav_document_decode(eav_val(key), eav_val(value), &name, &record);

	if (!ret)
		ret = eav_document_verify_bytes(eav_val(value), &record);
	if (!ret && record.transaction > run->top_sequence)
		run->top_sequence = record.transaction;
	/* of a sound file the child has told all */
	if (ret && !run->eav.sound) {
		const char *where = check_name(&look->where, name);

		tell(look, where ? where : "", "the document is damaged");
	}
	if (!name.len || (!ret && (record.deleted || record.collection)))
		return 0;
	return table_put(&run->documents, name, &run->documents, NULL);
}

int check_eav(struct check_run *run, struct err *err)
{
	struct check_file *file = &run->eav;
	struct look look = {.run = run};
	int ret = 0;

	if (!file->readable)
		return 0;
	if (file->sound)
		ret = check_by_lmdb(&look, err);
	if (!ret)
		ret = env_pages_each(&file->pages, "documents", take_document, &look, err);
	file->problems = run->check->in_file;
	buf_release(&look.where);
	return ret;
}
