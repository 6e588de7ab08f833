/* SPDX-License-Identifier: MIT */
#include "bad_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int bad_file_keep(int dir_fd, const char *name, struct buf *kept, struct err *err)
{
	long long now = (long long)time(NULL);

	for (int tries = 0; tries < 100; tries++) {
		buf_reset(kept);
		buf_add_format(kept, "%s.bad-%lld", name, now + tries);
		if (!buf_cstr(kept))
			return err_set(err, -ENOMEM, "out of memory");
		if (linkat(dir_fd, name, dir_fd, kept->ptr, 0) == 0)
			return 0;
		if (errno == ENOENT) {
			buf_reset(kept);
			return 0;
		}
		if (errno != EEXIST)
			return err_set(err, -errno, "%s: %s", name, strerror(errno));
	}
	return err_set(err, -EEXIST, "%s: no name is left for it", name);
}

/* Of NAME.bad-SECONDS in the directory: how many there are, and when the oldest is of. */
static size_t count_bad(DIR *dir, const char *base, long long *oldest)
{
	size_t len = strlen(base);
	const struct dirent *entry;
	size_t count = 0;

	rewinddir(dir);
	while ((entry = readdir(dir))) {
		long long seconds;
		char *end;

		if (strncmp(entry->d_name, base, len) != 0)
			continue;
		seconds = strtoll(entry->d_name + len, &end, 10);
		if (end == entry->d_name + len || *end)
			continue;
		if (!count++ || seconds < *oldest)
			*oldest = seconds;
	}
	return count;
}

void bad_file_prune(int dir_fd, const char *name)
{
	const char *slash = strrchr(name, '/');
	char base[64];
	char path[64];
	long long oldest = 0;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%.*s", slash ? (int)(slash - name) : 1, slash ? name : ".");
	snprintf(base, sizeof(base), "%s.bad-", slash ? slash + 1 : name);
	fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (count_bad(dir, base, &oldest) > BAD_FILES_MAX) {
		snprintf(path, sizeof(path), "%s%lld", base, oldest);
		if (unlinkat(fd, path, 0))
			break;
	}
	closedir(dir);
}
