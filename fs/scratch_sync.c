/* SPDX-License-Identifier: MIT */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void scratch_changed(struct scratch *scratch)
{
	scratch->changes++;
}

int scratch_sync(struct scratch *scratch, struct err *err)
{
	unsigned long changes;
	int ret = 0;

	pthread_mutex_lock(&scratch->syncing);
	changes = scratch->changes;
	if (scratch->synced != changes)
		ret = syncfs(scratch->root) ? -errno : 0;
	if (!ret)
		scratch->synced = changes;
	pthread_mutex_unlock(&scratch->syncing);
	return ret ? err_set(err, ret, "scratch files: %s", strerror(-ret)) : 0;
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
