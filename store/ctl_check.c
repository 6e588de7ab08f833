/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal_check.h"
#include "saved.h"
#include "store_dir.h"

static void print_line(void *context, const char *line)
{
	(void)context;
	puts(line);
}

/* The number of the last record that the stores hold. */
static int read_watermark(const struct store_dir *dir, const char *path, uint64_t *watermark,
	struct err *err)
{
	struct saved_reader reader;
	struct saved *saved;
	int ret = saved_open(&saved, dir->dir_fd, path, true, err);

	*watermark = 0;
	if (ret)
		return ret;
	ret = saved_read_begin(saved, &reader);
	if (!ret) {
		ret = saved_note_get(&reader, "watermark", watermark, sizeof(*watermark));
		saved_read_end(&reader);
	}
	saved_close(saved);
	if (ret && ret != -ENOENT)
		return err_set(err, ret, "saved/data.mdb: %s", strerror(-ret));
	return 0;
}

/* Neither a store nor a lock is made by looking for them. */
static int open_store(struct store_dir *dir, const char *path, bool repair, struct err *err)
{
	struct stat st;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	if (ret)
		return err_set(err, ret, "%s: %s", path, strerror(-ret));
	if (fstatat(fd, "journal", &st, AT_SYMLINK_NOFOLLOW))
		ret = err_set(err, -errno, "%s: no journal in it: %s", path, strerror(errno));
	close(fd);
	return ret ? ret : store_dir_open(dir, path, !repair, err);
}

enum ctl_status ctl_check(char **operands, unsigned flags)
{
	struct journal_check check = {.repair = flags & CTL_CHECK_REPAIR, .say = print_line};
	struct store_dir dir = STORE_DIR_NONE;
	struct err err = {0};
	int ret = open_store(&dir, operands[0], check.repair, &err);

	if (!ret)
		ret = read_watermark(&dir, operands[0], &check.watermark, &err);
	if (!ret)
		ret = journal_check(dir.dir_fd, &check, &err);
	store_dir_close(&dir);
	if (ret) {
		ctl_complain(err.text);
		return CTL_FAILED;
	}
	return check.problems ? CTL_WRONG : CTL_FINE;
}
