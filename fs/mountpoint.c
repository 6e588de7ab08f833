/* SPDX-License-Identifier: MIT */
#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

static int explain(const char *path, int code, struct err *err)
{
	if (code == ENOTCONN || code == ECONNABORTED)
		return err_set(err, -ENOTCONN,
			"a mount is left here whose daemon is gone: `fusermount3 -u -z %s` mends "
			"it",
			path);
	return err_set(err, -code, "%s: %s", path, strerror(code));
}

/* A dead mount's attributes may still be in the kernel's cache, so stat alone does not tell. */
static int check_directory(const char *path, struct err *err)
{
	struct stat st;
	struct statfs fs;

	if (stat(path, &st) || statfs(path, &fs))
		return explain(path, errno, err);
	return S_ISDIR(st.st_mode) ? 0 : err_set(err, -ENOTDIR, "%s: not a directory", path);
}

static bool is_fuse_mount(const char *path, DIR *dir)
{
	struct stat st, above;
	struct statfs fs;

	return fstatfs(dirfd(dir), &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC &&
	       stat(path, &st) == 0 && fstatat(dirfd(dir), "..", &above, 0) == 0 &&
	       st.st_dev != above.st_dev;
}

/* A directory that may not be read counts as empty: whether to mount there is for fusermount3. */
static int check_empty(const char *path, struct err *err)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int ret = 0;

	if (!dir)
		return errno == EACCES ? 0 : explain(path, errno, err);
	while (!ret && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ret = err_set(err, -ENOTEMPTY, "%s: %s", path,
				is_fuse_mount(path, dir)
					? "a filesystem is mounted there already (-o nonempty "
					  "mounts over it)"
					: "not empty (-o nonempty mounts over what is there)");
	closedir(dir);
	return ret;
}

/* Both without links, "." and "..". */
static bool is_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	if (strcmp(directory, "/") == 0)
		return true;
	return strncmp(path, directory, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static int check_outside(const struct options *options, struct err *err)
{
	const char *const files[] = {options->edn_path, options->store_dir};
	char *mountpoint = realpath(options->mountpoint, NULL);
	int ret = 0;

	if (!mountpoint)
		return explain(options->mountpoint, errno, err);
	for (size_t i = 0; !ret && i < sizeof(files) / sizeof(*files); i++)
		if (is_below(files[i], mountpoint))
			ret = err_set(err, -EINVAL, "%s: lies below the mountpoint", files[i]);
	if (!ret && is_below(mountpoint, options->store_dir))
		ret = err_set(err, -EINVAL, "%s: lies in the state directory %s",
			options->mountpoint, options->store_dir);
	free(mountpoint);
	return ret;
}

/* Whoever may not open it can still mount: fusermount3 opens it for them. */
static int check_device(struct err *err)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	else if (errno != EACCES && errno != EPERM)
		return err_set(err, -ENODEV, "/dev/fuse: %s (`modprobe fuse` may help)",
			strerror(errno));
	return 0;
}

int mountpoint_check(const struct options *options, struct err *err)
{
	int ret = check_directory(options->mountpoint, err);

	if (!ret)
		ret = check_outside(options, err);
	if (!ret && !options->nonempty)
		ret = check_empty(options->mountpoint, err);
	if (!ret)
		ret = check_device(err);
	return ret;
}
