/* SPDX-License-Identifier: MIT */
#include "check_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bad_file.h"
#include "journal_format.h"
#include "journal_mend.h"
#include "memory_internal.h"

/*
 * New files are made in STORE/mending/, which nobody else looks at, and moved to where they belong when they
 * are on disk.
 */
static const char MENDING[] = "mending";

static int fail(struct err *err, const char *name)
{
	int code = -errno;

	return err_set(err, code, "%s: %s", name, strerror(-code));
}

static void clear(int store_fd)
{
	static const char *const FILES[] = {"mending/saved/data.mdb",
		"mending/saved/data.mdb.closed", "mending/saved/lock.mdb", "mending/data.mdb",
		"mending/data.mdb.closed", "mending/lock.mdb"};

	for (size_t i = 0; i < sizeof(FILES) / sizeof(*FILES); i++)
		unlinkat(store_fd, FILES[i], 0);
	unlinkat(store_fd, "mending/saved", AT_REMOVEDIR);
	unlinkat(store_fd, MENDING, AT_REMOVEDIR);
}

static int sync_dir(struct check *check, const char *name, struct err *err)
{
	int fd = openat(check->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int ret = fd < 0 || fsync(fd) ? fail(err, name) : 0;

	if (fd >= 0)
		close(fd);
	return ret;
}

static int replace(struct check *check, const char *made, const char *name, const char *dir,
	struct err *err)
{
	struct buf kept = BUF_INIT;
	/* first, so that one of the two is there at any moment */
	int ret = bad_file_keep(check->dir_fd, name, &kept, err);

	if (!ret && mkdirat(check->dir_fd, dir, 0700) && errno != EEXIST)
		ret = fail(err, dir);
	if (!ret && renameat(check->dir_fd, made, check->dir_fd, name))
		ret = fail(err, name);
	if (!ret)
		ret = sync_dir(check, dir, err);
	if (!ret && kept.len)
		check_done(check, name, "made anew; as it was, it is %s", kept.ptr);
	else if (!ret)
		check_done(check, name, "made anew");
	buf_release(&kept);
	return ret;
}

typedef int make_fn(struct check_run *run, int fd, const char *path, struct err *err);

static int remake(struct check_run *run, make_fn *make, const char *made, const char *name,
	const char *dir, struct err *err)
{
	struct check *check = run->check;
	struct buf path = BUF_INIT;
	int fd = -1;
	int ret = 0;

	clear(check->dir_fd);
	buf_add_format(&path, "%s/%s", check->path, MENDING);
	if (!buf_cstr(&path))
		ret = err_set(err, -ENOMEM, "out of memory");
	if (!ret && mkdirat(check->dir_fd, MENDING, 0700))
		ret = fail(err, MENDING);
	if (!ret) {
		fd = openat(check->dir_fd, MENDING,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		ret = fd < 0 ? fail(err, MENDING) : make(run, fd, path.ptr, err);
	}
	if (!ret)
		ret = replace(check, made, name, dir, err);
	if (fd >= 0)
		close(fd);
	clear(check->dir_fd);
	buf_release(&path);
	return ret;
}

/* What comes next must not get a number that a record in the stores has. */
static int mend_numbers(struct check_run *run, struct err *err)
{
	int fd, ret;

	if (!run->has_journal || run->top_sequence <= run->journal_last)
		return 0;
	fd = journal_open_dir(run->check->dir_fd, false, err);
	if (fd < 0)
		return fd;
	ret = journal_mend_gap(fd, run->journal_last + 1, run->top_sequence, err);
	close(fd);
	if (!ret)
		check_done(run->check, "journal",
			"it goes on behind %" PRIu64 ", which the stores have", run->top_sequence);
	return ret;
}

/* Nor a document an inode number that a record in the journal gives to another. */
static int take_numbers(void *context, const struct journal_record *record, struct err *err)
{
	struct check_run *run = context;
	struct slice rest = record->payload;
	struct change c;

	(void)err;
	while (rest.len && change_decode(&rest, &c) == 0) {
		uint64_t ino = c.saved.ino & INO_HASHED ? 0 : c.saved.ino;

		run->top_ino = ino > run->top_ino ? ino : run->top_ino;
	}
	return 0;
}

int check_mend(struct check_run *run, struct err *err)
{
	int ret = 0;

	clear(run->check->dir_fd);
	if (!run->saved.problems && (!run->eav.problems || run->check->saved_alone))
		return 0;
	ret = mend_numbers(run, err);
	if (!ret && run->has_journal)
		ret = journal_replay_only(run->check->dir_fd,
			run->journal_first ? run->journal_first - 1 : 0, take_numbers, run, err);
	if (!ret && run->saved.problems)
		ret = remake(run, check_mend_saved, "mending/saved/data.mdb", run->saved.name,
			"saved", err);
	if (!ret && run->eav.problems && !run->check->saved_alone)
		ret = remake(run, check_mend_eav, "mending/data.mdb", run->eav.name, ".", err);
	return ret;
}
