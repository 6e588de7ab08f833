/* SPDX-License-Identifier: MIT */
/* Attributes of real files and directories: scratch, and what is empty as yet. */
#include "setattr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int setattr_own_fd(const struct attribute_change *change)
{
	return change->handle ? change->handle->fd : -1;
}

static int open_real(const struct attribute_change *change, struct scratch *tree, struct slice rel)
{
	struct node_look look;
	int fd = setattr_own_fd(change);

	if (fd >= 0) {
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	node_look(change->fs, change->node, &look);
	draft_unref(look.draft);
	if (look.state != NODE_OLD)
		fd = scratch_openfile(tree, rel,
			change->to_set & FUSE_SET_ATTR_SIZE ? O_RDWR : O_PATH, 0);
	if (look.state != NODE_OLD && fd != -ENOENT)
		return fd;
	return fs_dup_open(change->fs, change->node); /* it has left its name, and is open */
}

/* By its name in /proc: a file that its owner may not open can still be given back its modes. */
static int set_by_name(const struct attribute_change *change, const char *name)
{
	struct timespec times[2] = {change->attributes.mtime, change->attributes.mtime};
	int to_set = change->to_set;

	if (change->attributes.has_mode && chmod(name, change->attributes.mode))
		return -errno;
	if (to_set & FUSE_SET_ATTR_ATIME)
		times[0] = change->attr->st_atim;
	if (!(to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)))
		times[0].tv_nsec = UTIME_OMIT;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	if (!change->attributes.has_mtime)
		times[1].tv_nsec = UTIME_OMIT;
	return utimensat(AT_FDCWD, name, times, 0) ? -errno : 0;
}

int setattr_real(struct attribute_change *change, struct slice path)
{
	struct scratch *tree;
	struct slice rel;
	char name[32];
	int ret = 0;
	int fd;

	if (view_is_read_only(path))
		return -EROFS;
	(void)view_is_scratch(change->fs, path, &tree, &rel);
	fd = open_real(change, tree, rel);
	if (fd < 0)
		return fd;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (change->to_set & FUSE_SET_ATTR_SIZE)
		ret = scratch_ftruncate(tree, fd, change->attr->st_size);
	if (!ret)
		ret = set_by_name(change, name);
	close(fd);
	scratch_changed(tree);
	return ret;
}

int setattr_empty(const struct attribute_change *change, struct slice path)
{
	const struct memory_attributes *attributes = &change->attributes;
	struct scratch *tree = &change->fs->trees[TREE_SCRATCH];
	int fd = scratch_openfile(tree, path, O_RDONLY, 0);
	struct timespec times[2] = {attributes->mtime, attributes->mtime};
	int ret = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (attributes->has_mode && fchmod(fd, attributes->mode))
		ret = -errno;
	if (!ret && attributes->has_mtime && futimens(fd, times))
		ret = -errno;
	close(fd);
	scratch_changed(tree);
	return ret;
}
