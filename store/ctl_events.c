/* SPDX-License-Identifier: MIT */
#include "ctl.h"
#include "ctl_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* .events grows under who holds it open. */
static int copy(int fd, bool follow)
{
	char part[65536];
	ssize_t got;

	for (;;) {
		while ((got = read(fd, part, sizeof(part))) > 0)
			if (fwrite(part, 1, (size_t)got, stdout) != (size_t)got)
				return 0;
		if (got < 0)
			return -errno;
		if (fflush(stdout) || !follow)
			return 0;
		ctl_progress_pause();
	}
}

enum ctl_status ctl_events(const struct ctl_args *args)
{
	struct ctl_mount mount;
	struct err err = {0};
	char *path = NULL;
	int ret = ctl_mount_find(&mount, args->operands[0], &err);

	if (!ret) {
		int fd;

		path = ctl_mount_path(&mount, ".events");
		fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		ret = fd >= 0 ? copy(fd, args->given[CTL_EVENTS_FOLLOW]) : -errno;
		if (fd >= 0)
			close(fd);
		/* the mount went away under who followed it: that is its end */
		if (ret == -ENOTCONN || ret == -ECONNABORTED)
			ret = 0;
		if (ret)
			err_set(&err, ret, "%s/.events: %s", mount.root, strerror(-ret));
	}
	free(path);
	ctl_mount_release(&mount);
	return ctl_end(ret, &err);
}
