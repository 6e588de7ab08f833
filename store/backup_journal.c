/* SPDX-License-Identifier: MIT */
#include "backup_journal.h"

#include "copy_tree.h"
#include "journal_format.h"
#include "regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int fail(struct err *err, const char *path, int ret)
{
	return err_set(err, ret, "%s: %s", path, strerror(-ret));
}

int backup_journal_hold(struct backup_journal *journal, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return fail(err, path, -errno);
	do
		ret = flock(fd, LOCK_SH) ? -errno : 0;
	while (ret == -EINTR);
	if (ret) {
		close(fd);
		return fail(err, path, ret);
	}
	*journal = (struct backup_journal){.path = path, .dir_fd = fd};
	return 0;
}

static int copy_segment(struct backup_journal *journal, uint64_t first, int to_fd, struct err *err)
{
	char name[JOURNAL_NAME_SIZE];
	int ret, fd;

	journal_segment_name(name, first);
	fd = regular_open(journal->dir_fd, name, O_RDONLY);
	if (fd < 0)
		return fail(err, journal->path, fd);
	ret = copy_file(fd, to_fd, name, err);
	close(fd);
	return ret;
}

int backup_journal_copy(struct backup_journal *journal, uint64_t watermark, int to_fd,
	struct err *err)
{
	uint64_t *firsts;
	size_t count, whole, from = 0;
	int ret = journal_list(journal->dir_fd, &firsts, &count, &whole, err);

	/* what both stores have of it is needed no more, and may lie behind a gap */
	while (!ret && from + 1 < count && firsts[from + 1] <= watermark + 1)
		from++;
	for (; !ret && from < count; from++)
		ret = copy_segment(journal, firsts[from], to_fd, err);
	free(firsts);
	return ret;
}

void backup_journal_release(struct backup_journal *journal)
{
	if (journal->path)
		close(journal->dir_fd);
	*journal = (struct backup_journal){0};
}
