/* SPDX-License-Identifier: MIT */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void scratch_changed(struct scratch *scratch)
{
	scratch->changes++;
}

static long long ns_of(long long seconds, long long ns)
{
	return seconds * 1000000000 + ns;
}

void scratch_promise(struct scratch *scratch)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	scratch->promised_ns = ns_of(now.tv_sec, now.tv_nsec);
}

/* It is as old as its file, or younger. */
bool scratch_may_be_promised(struct scratch *scratch, struct slice path)
{
	int fd = scratch_openfile(scratch, path, O_PATH, 0);
	struct statx st;
	bool made_since;

	if (fd < 0)
		return true;
	made_since = !statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) &&
		     (st.stx_mask & STATX_BTIME) &&
		     ns_of(st.stx_btime.tv_sec, st.stx_btime.tv_nsec) > scratch->promised_ns;
	close(fd);
	return !made_since;
}

int scratch_sync(struct scratch *scratch, struct err *err)
{
	unsigned long changes;
	int ret = 0;

	pthread_mutex_lock(&scratch->syncing);
	changes = scratch->changes;
	scratch_promise(scratch);
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
	scratch_promise(scratch);
	ret = fsync(fd) ? -errno : 0;
	close(fd);
	return ret;
}

int scratch_sync_name(struct scratch *scratch, struct slice path)
{
	while (path.len && path.ptr[path.len - 1] != '/')
		path.len--;
	return scratch_sync_directory(scratch, slice_of(path.ptr, path.len ? path.len - 1 : 0));
}
