/* SPDX-License-Identifier: MIT */
#include "check_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "regular.h"

/* ---- its pages, and the notes that both files have ---- */

struct at_file {
	struct check_run *run;
	struct check_file *file;
};

static void take_fault(void *context, const char *where, const char *what)
{
	struct at_file *at = context;

	check_problem(at->run->check, at->file->name, where, "%s", what);
}

static int take_note(void *context, struct slice key, struct slice value)
{
	struct at_file *at = context;
	struct check_file *file = at->file;

	env_seal_add(&file->seal, key, value);
	if (slice_equal(key, SLICE_LITERAL("watermark")) && value.len == sizeof(file->watermark)) {
		memcpy(&file->watermark, value.ptr, value.len);
		file->has_watermark = true;
	}
	return 0;
}

static int count_row(void *context, struct slice key, struct slice value)
{
	struct at_file *at = context;

	(void)key;
	(void)value;
	at->file->rows++;
	return 0;
}

static int verify(struct at_file *at, struct err *err)
{
	struct check_file *file = at->file;
	bool ours = true;
	int ret = env_pages_verify(&file->pages, err);

	file->sound = !ret && !file->pages.faults;
	file->pages.fault = NULL; /* what is wrong has been said */
	if (!ret)
		ret = env_pages_each(&file->pages, "ourofs", take_note, at, err);
	if (!ret && !env_seal_is_good(&file->seal)) {
		check_problem(at->run->check, file->name, "", "its notes are damaged");
		file->notes_damaged = true;
		file->has_watermark = false;
		file->watermark = 0;
	}
	if (!ret)
		ret = env_pages_each(&file->pages, "documents", count_row, at, err);
	if (!ret && file->pages.lists_tables && file->pages.main.root != UINT64_MAX)
		ret = env_pages_has(&file->pages, "ourofs", &ours, err);
	return ret || ours ? ret
			   : err_set(err, -EINVAL, "%s belongs to another program", file->name);
}

int check_file_open(struct check_run *run, struct check_file *file, struct err *err)
{
	struct at_file at = {.run = run, .file = file};
	struct err reason = {0};
	struct stat st;
	int ret;

	file->fd = regular_open(run->check->dir_fd, file->name, O_RDONLY);
	if (file->fd < 0)
		return file->fd == -ENOENT
			       ? 0
			       : err_set(err, file->fd, "%s: %s", file->name, strerror(-file->fd));
	if (fstat(file->fd, &st))
		return err_set(err, -errno, "%s: %s", file->name, strerror(errno));
	if (!st.st_size) { /* as good as none, for LMDB, too */
		check_file_close(file);
		return 0;
	}
	ret = env_pages_open(&file->pages, file->fd, take_fault, &at, &reason);
	if (!ret) {
		file->readable = true;
		ret = verify(&at, &reason);
	} else if (ret == -EINVAL) {
		check_problem(run->check, file->name, "", "%s", reason.text);
		ret = 0;
	}
	file->pages.fault = NULL;
	file->problems = run->check->in_file;
	return ret ? err_set(err, ret, "%s", reason.text) : 0;
}

void check_file_close(struct check_file *file)
{
	if (file->readable)
		env_pages_release(&file->pages);
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	file->readable = false;
}
