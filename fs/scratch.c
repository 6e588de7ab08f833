/* SPDX-License-Identifier: MIT */
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lock_order.h"

/* ---- paths ---- */

static int copy_path(struct slice path, char buffer[PATH_MAX])
{
	if (path.len >= PATH_MAX)
		return -ENAMETOOLONG;
	if (!path.len)
		path = slice_str(".");
	memcpy(buffer, path.ptr, path.len);
	buffer[path.len] = '\0';
	return 0;
}

static int open_beneath(int root, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (root < 0)
		return -ENOENT; /* a read-only mount without a store */
	do {
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

/* Opens the directory that holds path's last name; *name points into buffer. */
static int open_parent(struct scratch *scratch, struct slice path, char buffer[PATH_MAX],
	char **name)
{
	int ret = copy_path(path, buffer);
	char *slash;

	if (ret)
		return ret;
	slash = strrchr(buffer, '/');
	*name = slash ? slash + 1 : buffer;
	if (!slash)
		return open_beneath(scratch->root, ".", O_PATH | O_DIRECTORY, 0);
	*slash = '\0';
	return open_beneath(scratch->root, buffer, O_PATH | O_DIRECTORY, 0);
}

/* mkdir -p for everything above the last name. */
static int make_parents(struct scratch *scratch, struct slice path)
{
	char buffer[PATH_MAX];
	char *slash;
	int ret = copy_path(path, buffer);
	int at = ret ? -1 : fcntl(scratch->root, F_DUPFD_CLOEXEC, 0);
	char *name = buffer;

	if (ret)
		return ret;
	for (; at >= 0 && (slash = strchr(name, '/')); name = slash + 1) {
		int next;

		*slash = '\0';
		if (mkdirat(at, name, 0700) && errno != EEXIST)
			next = -errno;
		else
			next = open_beneath(at, name, O_PATH | O_DIRECTORY, 0);
		close(at);
		at = next;
	}
	if (at < 0)
		return at == -1 ? -errno : at;
	close(at);
	return 0;
}

int scratch_open_parent(struct scratch *scratch, struct slice path, char buffer[PATH_MAX],
	char **name)
{
	int dir = open_parent(scratch, path, buffer, name);

	if (dir != -ENOENT)
		return dir;
	dir = make_parents(scratch, path);
	return dir ? dir : open_parent(scratch, path, buffer, name);
}

/* ---- opening ---- */

static int count_used(struct scratch *scratch, int dir, unsigned depth)
{
	DIR *stream = fdopendir(dir);
	struct dirent *entry;

	if (!stream) {
		close(dir);
		return -errno;
	}
	while ((entry = readdir(stream))) {
		struct stat st;
		int below;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (S_ISREG(st.st_mode))
			scratch->used_bytes += (long long)st.st_blocks * 512;
		if (!S_ISDIR(st.st_mode) || depth > PATH_MAX / 2)
			continue;
		below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			count_used(scratch, below, depth + 1);
	}
	closedir(stream);
	return 0;
}

static int open_directory(int store, const char *store_dir, const char *name, bool make,
	struct err *err)
{
	int fd;

	if (make && mkdirat(store, name, 0700) && errno != EEXIST)
		fd = -errno;
	else
		fd = open_beneath(store, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(err, fd, "%s/%s: %s", store_dir, name, strerror(-fd));
	return fd;
}

int scratch_open(struct scratch *scratch, const char *store_dir, const char *name, bool make,
	size_t max_bytes, struct err *err)
{
	int store = open(store_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	*scratch = (struct scratch){.root = -1, .staging = -1, .max_bytes = max_bytes};
	rwlock_init(&scratch->pruning, LOCK_PRUNING);
	mutex_init(&scratch->syncing, LOCK_SYNCING);
	if (store < 0)
		return err_set(err, -errno, "%s: %s", store_dir, strerror(errno));
	scratch->root = open_directory(store, store_dir, name, make, err);
	if (scratch->root >= 0)
		scratch->staging = open_directory(store, store_dir, "staging", make, err);
	close(store);
	if (scratch->root < 0 || scratch->staging < 0)
		return scratch->root < 0 ? scratch->root : scratch->staging;
	scratch_promise(scratch); /* by those that served it before */
	if (!max_bytes)
		return 0;
	return count_used(scratch, fcntl(scratch->root, F_DUPFD_CLOEXEC, 0), 0);
}

void scratch_close(struct scratch *scratch)
{
	if (scratch->root >= 0)
		close(scratch->root);
	if (scratch->staging >= 0)
		close(scratch->staging);
	scratch->root = -1;
	scratch->staging = -1;
	pthread_rwlock_destroy(&scratch->pruning);
	pthread_mutex_destroy(&scratch->syncing);
}

int scratch_openfile(struct scratch *scratch, struct slice path, int flags, mode_t mode)
{
	char buffer[PATH_MAX];
	int ret = copy_path(path, buffer);
	int fd;

	if (ret)
		return ret;
	flags |= O_NOFOLLOW;
	if (!(flags & O_PATH))
		flags |= O_NONBLOCK; /* a planted pipe is not waited for */
	mode &= SCRATCH_MODE;
	fd = open_beneath(scratch->root, buffer, flags, mode);
	if (fd == -ENOENT && (flags & O_CREAT)) {
		pthread_rwlock_rdlock(&scratch->pruning);
		fd = make_parents(scratch, path);
		if (!fd)
			fd = open_beneath(scratch->root, buffer, flags, mode);
		pthread_rwlock_unlock(&scratch->pruning);
	}
	if (flags & (O_CREAT | O_TRUNC))
		scratch_changed(scratch);
	return fd;
}

/* ---- names ---- */

int scratch_stat(struct scratch *scratch, struct slice path, struct stat *st)
{
	char buffer[PATH_MAX];
	char *name;
	int dir;
	int ret;

	if (!path.len)
		return scratch->root < 0 ? -ENOENT : fstat(scratch->root, st) ? -errno : 0;
	dir = open_parent(scratch, path, buffer, &name);
	if (dir < 0)
		return dir;
	ret = fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
	close(dir);
	if (!ret && !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return -ENOENT; /* planted from outside: a link, device or socket is not ours to show */
	return ret;
}

int scratch_mkdir(struct scratch *scratch, struct slice path, mode_t mode)
{
	char buffer[PATH_MAX];
	char *name;
	int ret;
	int dir;

	pthread_rwlock_rdlock(&scratch->pruning);
	ret = dir = scratch_open_parent(scratch, path, buffer, &name);
	if (dir >= 0) {
		ret = mkdirat(dir, name, mode & SCRATCH_MODE) ? -errno : 0;
		close(dir);
	}
	pthread_rwlock_unlock(&scratch->pruning);
	scratch_changed(scratch);
	return ret;
}

int scratch_keep_directory(struct scratch *scratch, struct slice path)
{
	int ret = path.len ? scratch_mkdir(scratch, path, 0700) : 0;

	return ret == -EEXIST ? 0 : ret;
}

int scratch_unlink(struct scratch *scratch, struct slice path, bool still_open)
{
	char buffer[PATH_MAX];
	char *name;
	struct stat st;
	int dir = open_parent(scratch, path, buffer, &name);
	int ret = 0;

	if (dir < 0)
		return dir;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || unlinkat(dir, name, 0))
		ret = -errno;
	else if (!still_open)
		scratch->used_bytes -= (long long)st.st_blocks * 512;
	close(dir);
	scratch_changed(scratch);
	return ret;
}

void scratch_forget(struct scratch *scratch, int fd)
{
	struct stat st;

	if (!fstat(fd, &st))
		scratch->used_bytes -= (long long)st.st_blocks * 512;
}

int scratch_rmdir(struct scratch *scratch, struct slice path)
{
	char buffer[PATH_MAX];
	char *name;
	int dir = open_parent(scratch, path, buffer, &name);
	int ret;

	if (dir < 0)
		return dir;
	pthread_rwlock_wrlock(&scratch->pruning);
	ret = unlinkat(dir, name, AT_REMOVEDIR) ? -errno : 0;
	pthread_rwlock_unlock(&scratch->pruning);
	close(dir);
	scratch_changed(scratch);
	return ret;
}

static int rename_below(struct scratch *scratch, int from_dir, const char *from_name,
	struct slice to, unsigned flags)
{
	char buffer[PATH_MAX];
	char *name;
	struct stat replaced = {0};
	int ret = 0;
	int dir = scratch_open_parent(scratch, to, buffer, &name);

	if (dir < 0)
		return dir;
	if (fstatat(dir, name, &replaced, AT_SYMLINK_NOFOLLOW))
		replaced.st_blocks = 0;
	if (renameat2(from_dir, from_name, dir, name, flags & ~SCRATCH_STILL_OPEN))
		ret = -errno;
	else if (!flags && S_ISREG(replaced.st_mode))
		scratch->used_bytes -= (long long)replaced.st_blocks * 512;
	close(dir);
	return ret;
}

int scratch_rename(struct scratch *scratch, struct slice from, struct slice to, unsigned flags)
{
	char buffer[PATH_MAX];
	char *name;
	int dir = open_parent(scratch, from, buffer, &name);
	int ret;

	if (dir < 0)
		return dir;
	pthread_rwlock_rdlock(&scratch->pruning);
	ret = rename_below(scratch, dir, name, to, flags);
	pthread_rwlock_unlock(&scratch->pruning);
	close(dir);
	scratch_changed(scratch);
	return ret;
}

int scratch_list(struct scratch *scratch, struct slice path, scratch_list_fn *fn, void *context)
{
	char buffer[PATH_MAX];
	int ret = copy_path(path, buffer);
	int fd = ret ? ret : open_beneath(scratch->root, buffer, O_RDONLY | O_DIRECTORY, 0);
	struct dirent *entry;
	DIR *stream;

	if (fd < 0)
		return fd;
	stream = fdopendir(fd);
	if (!stream) {
		ret = -errno;
		close(fd);
		return ret;
	}
	while (!ret && (entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (entry->d_type == DT_DIR || entry->d_type == DT_REG)
			ret = fn(context, slice_str(entry->d_name), entry->d_type, entry->d_ino);
	}
	closedir(stream);
	return ret;
}

static int find_any(void *context, struct slice name, unsigned char type, uint64_t ino)
{
	(void)context;
	(void)name;
	(void)type;
	(void)ino;
	return -ENOTEMPTY;
}

int scratch_is_empty(struct scratch *scratch, struct slice path)
{
	return scratch_list(scratch, path, find_any, NULL);
}
