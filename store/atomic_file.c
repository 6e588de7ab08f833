/* SPDX-License-Identifier: MIT */
#include "atomic_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "write_all.h"

enum { SUFFIX_LEN = 6, TRIES = 100, BATCH = 256, WRITEBACK_BYTES = 8 << 20 };

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static int failed(struct err *err, const char *what, const char *name)
{
	int code = -errno;

	return err_set(err, code, "%s %s: %s", what, name, strerror(-code));
}

/* What temporaries of name begin with; a long name is cut so that they fit. Returns its length. */
static size_t temporary_prefix(char *out, const char *name)
{
	int len = snprintf(out, NAME_MAX + 1 - SUFFIX_LEN, ".%.*s.ourofs-",
		NAME_MAX - SUFFIX_LEN - 9, name);

	return (size_t)len;
}

/* Opens the directory of path and finds the name in it. */
static int open_directory(const char *path, char *name, int *dir, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char *parent;

	if (!slash || !slash[1] || strlen(slash + 1) > NAME_MAX)
		return err_set(err, -EINVAL, "%s is no absolute path of a file", path);
	memcpy(name, slash + 1, strlen(slash + 1) + 1);
	parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!parent)
		return err_set(err, -ENOMEM, "out of memory");
	*dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0 &&
		errno == EACCES) /* may be passed, not listed: renamed in, but not synced alone */
		*dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(parent);
	return *dir < 0 ? failed(err, "opening the directory of", path) : 0;
}

static int open_temporary(struct atomic_file *f, struct err *err)
{
	size_t len = temporary_prefix(f->temporary, f->name);
	unsigned char random[SUFFIX_LEN];

	for (int i = 0; i < TRIES; i++) {
		if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
			break;
		for (int j = 0; j < SUFFIX_LEN; j++)
			f->temporary[len + (size_t)j] = letters[random[j] % (sizeof(letters) - 1)];
		f->temporary[len + SUFFIX_LEN] = '\0';
		f->fd = openat(f->dir, f->temporary,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (f->fd >= 0) {
			flock(f->fd, LOCK_EX | LOCK_NB);
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	f->temporary[0] = '\0';
	return failed(err, "creating a temporary file beside", f->name);
}

/* All extended attributes; an ACL that were lost would open the file to its group. */
static int keep_attributes(int from, int to)
{
	char names[4096];
	char value[4096];
	ssize_t len = flistxattr(from, names, sizeof(names));

	for (char *name = names; len > 0 && name < names + len; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, sizeof(value));

		if (size >= 0 && !fsetxattr(to, name, value, (size_t)size, 0))
			continue;
		if (strcmp(name, "system.posix_acl_access") == 0)
			return -errno;
	}
	return 0;
}

/* must: else the file, which is a new one, may as well be the process's. */
static int set_owner_and_mode(const struct atomic_file *f, const struct atomic_owner *owner,
	bool must, struct err *err)
{
	struct stat new;

	if (fstat(f->fd, &new))
		return failed(err, "looking at", f->name);
	if (owner->known && (new.st_uid != owner->uid || new.st_gid != owner->gid)) {
		uid_t uid = new.st_uid == owner->uid ? (uid_t)-1 : owner->uid;

		if (fchown(f->fd, uid, owner->gid) && (must || errno != EPERM))
			return failed(err, "keeping the owner of", f->name);
	}
	return fchmod(f->fd, owner->mode) ? failed(err, "setting the mode of", f->name) : 0;
}

/* Those of the file that is replaced, or else those that are given. */
static int keep_owner_and_mode(struct atomic_file *f, const struct atomic_owner *owner,
	struct err *err)
{
	struct atomic_owner kept;
	struct stat old;
	int ret;

	if (f->old < 0)
		return set_owner_and_mode(f, owner, false, err);
	if (fstat(f->old, &old))
		return failed(err, "looking at", f->name);
	kept = (struct atomic_owner){true, old.st_uid, old.st_gid, old.st_mode & 07777};
	ret = set_owner_and_mode(f, &kept, true, err);
	if (!ret && keep_attributes(f->old, f->fd))
		return failed(err, "keeping the ACL of", f->name);
	return ret;
}

static int open_old(struct atomic_file *f, struct err *err)
{
	struct stat st;

	if (fstatat(f->dir, f->name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return 0;
		return failed(err, "looking at", f->name);
	}
	if (S_ISLNK(st.st_mode))
		return err_set(err, -ELOOP, "%s is a symbolic link", f->name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is not a regular file", f->name);
	f->old = openat(f->dir, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return f->old < 0 ? failed(err, "opening", f->name) : 0;
}

int atomic_file_begin(struct atomic_file *f, const char *path, const struct atomic_owner *owner,
	struct err *err)
{
	int ret;

	*f = ATOMIC_FILE_NONE;
	ret = open_directory(path, f->name, &f->dir, err);
	if (!ret)
		ret = open_old(f, err);
	if (!ret)
		ret = open_temporary(f, err);
	if (!ret)
		ret = keep_owner_and_mode(f, owner, err);
	if (ret)
		atomic_file_end(f);
	return ret;
}

/* What is still to be written: of its first part, behind done bytes. */
struct rest {
	const struct iovec *iov;
	size_t count;
	size_t done;
};

/* Of room bytes at most. */
static int next_batch(const struct rest *rest, struct iovec *batch, size_t room)
{
	int n = 0;

	for (size_t i = 0; i < rest->count && n < BATCH && room; i++) {
		size_t skip = i ? 0 : rest->done;
		size_t len = rest->iov[i].iov_len - skip;

		len = len < room ? len : room;
		batch[n++] = (struct iovec){(char *)rest->iov[i].iov_base + skip, len};
		room -= len;
	}
	return n;
}

static void pass(struct rest *rest, size_t bytes)
{
	rest->done += bytes;
	while (rest->count && rest->done >= rest->iov->iov_len) {
		rest->done -= rest->iov->iov_len;
		rest->iov++;
		rest->count--;
	}
}

/* What is written begins its way to the disk, so that the sync has less to wait for. It fails there if it fails. */
static void begin_writeback(struct atomic_file *f, size_t bytes)
{
	f->written += (off_t)bytes;
	if (f->written - f->begun < WRITEBACK_BYTES)
		return;
	(void)sync_file_range(f->fd, f->begun, f->written - f->begun, SYNC_FILE_RANGE_WRITE);
	f->begun = f->written;
}

static void hash_written(struct hash_stream *stream, const struct iovec *batch, size_t bytes)
{
	for (; stream && bytes; batch++) {
		size_t len = batch->iov_len < bytes ? batch->iov_len : bytes;

		hash_stream_add(stream, batch->iov_base, len);
		bytes -= len;
	}
}

int atomic_file_write(struct atomic_file *f, const struct iovec *iov, size_t count,
	struct hash_stream *stream, struct err *err)
{
	struct rest rest = {iov, count, 0};
	struct iovec batch[BATCH];

	pass(&rest, 0);
	while (rest.count) {
		int parts = next_batch(&rest, batch, WRITE_STEP_BYTES);
		ssize_t n = writev(f->fd, batch, parts);

		if (n < 0 && errno != EINTR)
			return failed(err, "writing", f->name);
		n = n < 0 ? 0 : n;
		hash_written(stream, batch, (size_t)n);
		pass(&rest, (size_t)n);
		begin_writeback(f, (size_t)n);
	}
	return 0;
}

static int sync_directory(struct atomic_file *f)
{
	if (!fsync(f->dir))
		return 0;
	return errno == EBADF ? syncfs(f->fd) : -1; /* opened as O_PATH */
}

int atomic_file_sync(struct atomic_file *f, struct stat *st, struct err *err)
{
	return fsync(f->fd) || fstat(f->fd, st) ? failed(err, "syncing", f->name) : 0;
}

int atomic_file_look_again(struct atomic_file *f, struct err *err)
{
	if (f->old >= 0)
		close(f->old);
	f->old = -1;
	return open_old(f, err);
}

static int exchange(const struct atomic_file *f)
{
	return renameat2(f->dir, f->temporary, f->dir, f->name, RENAME_EXCHANGE);
}

/* What stood at the name has the temporary's by now: whoever had put it there since the last look loses nothing. */
static int take_out(struct atomic_file *f, struct err *err)
{
	struct stat out, old;
	int fd;

	if (fstatat(f->dir, f->temporary, &out, AT_SYMLINK_NOFOLLOW) || fstat(f->old, &old))
		return failed(err, "looking at what was", f->name);
	if (out.st_dev == old.st_dev && out.st_ino == old.st_ino)
		return 0;
	if (!S_ISREG(out.st_mode))
		return err_set(err, -EINVAL, "%s is not a regular file", f->name);
	fd = openat(f->dir, f->temporary, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return failed(err, "opening what was", f->name);
	close(f->old);
	f->old = fd;
	return 0;
}

/* Where what stood there can't be kept it goes back; or it stays beside, under the temporary's name. */
static int replace_old(struct atomic_file *f, struct err *err)
{
	int ret = take_out(f, err);

	if (ret && !exchange(f))
		return ret;
	if (ret)
		f->temporary[0] = '\0';
	else
		unlinkat(f->dir, f->temporary, 0);
	return ret;
}

/* The filesystem can't do that with two names, or there is nothing to exchange with any more. */
static bool is_to_be_plain(int error)
{
	return error == EINVAL || error == ENOSYS || error == ENOENT;
}

static int put_in_place(struct atomic_file *f, struct err *err)
{
	int ret = 0;

	if (f->old < 0) {
		if (!renameat2(f->dir, f->temporary, f->dir, f->name, RENAME_NOREPLACE))
			return 0;
		if (errno == EEXIST)
			ret = open_old(f, err);
		else if (!is_to_be_plain(errno))
			ret = failed(err, "renaming to", f->name);
	}
	if (!ret && f->old >= 0) {
		if (!exchange(f))
			return replace_old(f, err);
		if (!is_to_be_plain(errno))
			ret = failed(err, "renaming to", f->name);
	}
	if (!ret && renameat(f->dir, f->temporary, f->dir, f->name))
		ret = failed(err, "renaming to", f->name);
	return ret;
}

int atomic_file_commit(struct atomic_file *f, struct stat *st, struct err *err)
{
	struct stat after;
	int ret = put_in_place(f, err);

	if (ret)
		return ret;
	f->temporary[0] = '\0';
	/* Of the time after the rename only ctime: a rival may write already, which must be seen. */
	if (!fstat(f->fd, &after))
		st->st_ctim = after.st_ctim;
	return sync_directory(f) ? failed(err, "syncing the directory of", f->name) : 0;
}

void atomic_file_end(struct atomic_file *f)
{
	if (f->temporary[0])
		unlinkat(f->dir, f->temporary, 0);
	if (f->fd >= 0)
		close(f->fd);
	if (f->old >= 0)
		close(f->old);
	if (f->dir >= 0)
		close(f->dir);
	*f = ATOMIC_FILE_NONE;
}

/* Only a file that was ours: of our name and user, and locked by no one. */
static void remove_leftover(int dir, const char *name)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
		!flock(fd, LOCK_EX | LOCK_NB))
		unlinkat(dir, name, 0);
	close(fd);
}

void atomic_file_sweep(const char *path)
{
	char name[NAME_MAX + 1];
	char prefix[NAME_MAX + 1];
	struct dirent *entry;
	size_t len;
	DIR *listing;
	int dir;

	if (open_directory(path, name, &dir, NULL))
		return;
	len = temporary_prefix(prefix, name);
	listing = fdopendir(dir);
	if (!listing) {
		close(dir);
		return;
	}
	while ((entry = readdir(listing)))
		if (strlen(entry->d_name) == len + SUFFIX_LEN &&
			strncmp(entry->d_name, prefix, len) == 0 &&
			strspn(entry->d_name + len, letters) == SUFFIX_LEN)
			remove_leftover(dir, entry->d_name);
	closedir(listing);
}
