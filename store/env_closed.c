/* SPDX-License-Identifier: MIT */
#include "env_closed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "regular.h"

#define CLOSED "data.mdb.closed"

struct closed {
	uint64_t device, ino, size;
	int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
};

static bool look(int dir_fd, struct closed *closed)
{
	struct stat st;

	if (fstatat(dir_fd, "data.mdb", &st, AT_SYMLINK_NOFOLLOW))
		return false;
	*closed = (struct closed){st.st_dev, st.st_ino, (uint64_t)st.st_size, st.st_mtim.tv_sec,
		st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec};
	return true;
}

bool env_is_closed(int dir_fd)
{
	int fd = regular_open(dir_fd, CLOSED, O_RDONLY);
	struct closed then, now;
	bool same;

	if (fd < 0)
		return false;
	same = read(fd, &then, sizeof(then)) == (ssize_t)sizeof(then) && look(dir_fd, &now) &&
	       memcmp(&then, &now, sizeof(now)) == 0;
	close(fd);
	return same;
}

int env_forget_closed(int dir_fd)
{
	if (unlinkat(dir_fd, CLOSED, 0))
		return errno == ENOENT ? 0 : -errno;
	return fsync(dir_fd) ? -errno : 0;
}

void env_note_closed(int dir_fd)
{
	struct closed now;
	int fd;

	if (!look(dir_fd, &now))
		return;
	fd = regular_open(dir_fd, CLOSED, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return;
	if (write(fd, &now, sizeof(now)) != (ssize_t)sizeof(now))
		unlinkat(dir_fd, CLOSED, 0);
	close(fd);
}
