/* SPDX-License-Identifier: MIT */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int scratch_sync(struct scratch *scratch, struct err *err)
{
	int ret;

	if (!atomic_exchange(&scratch->unsynced, false))
		return 0;
	ret = syncfs(scratch->root) ? -errno : 0;
	if (!ret)
		return 0;
	scratch->unsynced = true;
	return err_set(err, ret, "scratch files: %s", strerror(-ret));
}

int scratch_sync_directory(struct scratch *scratch, struct slice path)
{
	const char *name = ".";
	int fd;
	int ret;

	if (scratch->root < 0)
		return 0;
	fd = scratch_openfile(scratch, path.len ? path : slice_str(name), O_RDONLY | O_DIRECTORY,
		0);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
	ret = fsync(fd) ? -errno : 0;
	close(fd);
	return ret;
}
