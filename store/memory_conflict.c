/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"

static int open_below(int dir_fd, const char *name)
{
	if (mkdirat(dir_fd, name, 0700) && errno != EEXIST)
		return -errno;
	dir_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return dir_fd < 0 ? -errno : dir_fd;
}

static int write_file(int dir_fd, const char *name, const struct buf *bytes)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	size_t done = 0;
	int ret = fd < 0 ? -errno : 0;

	while (!ret && done < bytes->len) {
		ssize_t n = write(fd, bytes->ptr + done, bytes->len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			ret = -errno;
	}
	if (!ret && fsync(fd))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

int memory_keep_conflict(struct memory *m, struct slice path, struct slice text)
{
	struct arena arena = ARENA_INIT;
	struct buf bytes = BUF_INIT;
	struct buf names = BUF_INIT;
	struct edn value;
	char *name, *slash;
	int ret = edn_read(&arena, text, EDN_LOAD_DEPTH, &value, NULL, NULL);
	int dir = ret ? ret : open_below(m->dir.dir_fd, "conflicts");

	if (!ret)
		json_print_document(&bytes, &value);
	buf_add_slice(&names, path);
	name = buf_cstr(&names) ? names.ptr : NULL;
	ret = dir < 0 ? dir : name && !buf_error(&bytes) ? 0 : -ENOMEM;
	while (!ret && (slash = strchr(name, '/'))) {
		int below;

		*slash = '\0';
		below = open_below(dir, name);
		close(dir);
		dir = below;
		ret = below < 0 ? below : 0;
		name = slash + 1;
	}
	if (!ret)
		ret = write_file(dir, name, &bytes);
	if (dir >= 0)
		close(dir);
	buf_release(&names);
	buf_release(&bytes);
	arena_release(&arena);
	return ret;
}

int memory_set_aside(struct memory *m, bool copy, struct err *err)
{
	char name[4096];
	int len = snprintf(name, sizeof(name), "%s.bad-%lld", m->edn_path, (long long)time(NULL));
	int ret;

	if (len < 0 || (size_t)len >= sizeof(name))
		return err_set(err, -ENAMETOOLONG, "memory.edn has too long a name");
	ret = copy ? link(m->edn_path, name) : rename(m->edn_path, name);
	if (!ret || errno == ENOENT || errno == EEXIST)
		return 0;
	return err_set(err, -errno, "cannot set memory.edn aside: %s", strerror(errno));
}
