/* SPDX-License-Identifier: MIT */
#include "store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "regular.h"

/* What the lock file holds behind the pid of one who serves no more. */
#define ENDS " ends"
enum { OWNER_BYTES = 32, NAP_MS = 10, PATIENT_NAPS = 2000 / NAP_MS, ENDING_NAPS = 60000 / NAP_MS };

static int fail(struct err *err, const char *path, const char *what)
{
	int code = -errno;

	return err_set(err, code, "%s: %s: %s", path, what, strerror(-code));
}

int store_dir_make(const char *path, struct err *err)
{
	return mkdir(path, 0700) && errno != EEXIST
		       ? fail(err, path, "cannot make the store (-o store=DIR puts it elsewhere)")
		       : 0;
}

/* May what st belongs to stand in the directory above? Its owner may put anything there in any case. */
static bool may_stand(const struct stat *st, const struct stat *above)
{
	return st->st_uid == geteuid() || st->st_uid == 0 || st->st_uid == above->st_uid;
}

/* What stands at path itself: the store, or a link to it. */
static int check_name(const char *path, bool *planted)
{
	const char *slash = strrchr(path, '/');
	char *directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	struct stat above, st;
	int ret = directory ? 0 : -ENOMEM;

	if (!ret && (stat(directory, &above) || lstat(path, &st)))
		ret = -errno;
	*planted = !ret && !may_stand(&st, &above);
	free(directory);
	return ret;
}

/* And what a link leads to. */
static int check_directory(const char *path, bool *planted)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat above, st;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || fstatat(fd, "..", &above, 0))
		ret = -errno;
	*planted = !ret && !may_stand(&st, &above);
	close(fd);
	return ret;
}

int store_dir_check_owner(const char *path, struct err *err)
{
	bool planted;
	int ret = check_name(path, &planted);

	if (!ret && !planted)
		ret = check_directory(path, &planted);
	if (ret == -ENOENT)
		return 0;
	if (ret)
		return err_set(err, ret, "%s: cannot open the store: %s", path, strerror(-ret));
	return planted ? err_set(err, -EPERM, "%s: the store belongs to another user", path) : 0;
}

static int open_dir(struct store_dir *dir, const char *path, bool read_only, struct err *err)
{
	int ret = read_only ? 0 : store_dir_make(path, err);

	if (ret)
		return ret;
	dir->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->dir_fd < 0 && !(read_only && errno == ENOENT))
		return fail(err, path, "cannot open the store");
	return 0;
}

static int refuse(int lock_fd, const char *path, struct err *err)
{
	char text[OWNER_BYTES];
	ssize_t len = pread(lock_fd, text, sizeof(text) - 1, 0);
	long pid;

	text[len > 0 ? len : 0] = '\0';
	pid = strtol(text, NULL, 10);
	if (pid > 0)
		return err_set(err, -EBUSY, "%s: store is in use by ourofs (pid %ld)", path, pid);
	return err_set(err, -EBUSY, "%s: store is in use by ourofs", path);
}

static int write_owner(int lock_fd, const char *ends)
{
	char text[OWNER_BYTES];
	int len = snprintf(text, sizeof(text), "%ld%s\n", (long)getpid(), ends);
	ssize_t written = pwrite(lock_fd, text, (size_t)len, 0);

	if (written >= 0 && written != len)
		errno = ENOSPC;
	return written != len || ftruncate(lock_fd, len) ? -errno : 0;
}

/* naps: how often it was waited for already. */
static bool is_worth_waiting(int lock_fd, bool patient, unsigned naps)
{
	char text[OWNER_BYTES];
	ssize_t len = pread(lock_fd, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	if (strstr(text, ENDS))
		return naps < ENDING_NAPS;
	return patient && naps < PATIENT_NAPS;
}

static void take_nap(void)
{
	const struct timespec nap = {.tv_nsec = NAP_MS * 1000000L};

	nanosleep(&nap, NULL);
}

static int lock(struct store_dir *dir, const char *path, bool read_only, bool patient,
	struct err *err)
{
	int flags = read_only ? O_RDONLY : O_RDWR | O_CREAT;
	unsigned naps = 0;

	dir->lock_fd = regular_open(dir->dir_fd, "lock", flags);
	if (dir->lock_fd < 0) {
		/* a store that nobody has ever written needs no lock to be read */
		if (read_only && dir->lock_fd == -ENOENT)
			return 0;
		errno = -dir->lock_fd;
		return fail(err, path, "cannot open the lock");
	}
	while (flock(dir->lock_fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return fail(err, path, "cannot lock the store");
		if (!is_worth_waiting(dir->lock_fd, patient, naps++))
			return refuse(dir->lock_fd, path, err);
		take_nap();
	}
	dir->writes = !read_only;
	return dir->writes && write_owner(dir->lock_fd, "")
		       ? fail(err, path, "cannot write the lock")
		       : 0;
}

void store_dir_ends(struct store_dir *dir)
{
	dir->ends = dir->writes && !write_owner(dir->lock_fd, ENDS);
}

static bool is_ours(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool empty = listing != NULL;

	if (fd >= 0 && !listing)
		close(fd);
	while (empty && (entry = readdir(listing)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	if (listing)
		closedir(listing);
	return empty || !faccessat(dir_fd, "lock", F_OK, AT_SYMLINK_NOFOLLOW);
}

int store_dir_open(struct store_dir *dir, const char *path, bool read_only, bool patient,
	struct err *err)
{
	int ret;

	*dir = STORE_DIR_NONE;
	ret = open_dir(dir, path, read_only, err);
	dir->was_ours = !ret && !read_only && is_ours(dir->dir_fd);
	if (!ret && dir->dir_fd >= 0)
		ret = lock(dir, path, read_only, patient, err);
	if (ret)
		store_dir_close(dir);
	return ret;
}

void store_dir_keep_to_owner(const struct store_dir *dir)
{
	struct stat st;

	if (dir->was_ours && !fstat(dir->dir_fd, &st) && (st.st_mode & 077) &&
		st.st_uid == geteuid())
		(void)fchmod(dir->dir_fd, st.st_mode & 0700);
}

void store_dir_discard(const char *path)
{
	static const char *const FILES[] = {"saved/data.mdb", "saved/data.mdb.closed",
		"saved/lock.mdb", "data.mdb", "data.mdb.closed", "lock.mdb", "lock"};
	struct store_dir dir;

	if (access(path, F_OK) || store_dir_open(&dir, path, false, false, NULL))
		return;
	if (faccessat(dir.dir_fd, "journal", F_OK, AT_SYMLINK_NOFOLLOW)) {
		for (size_t i = 0; i < sizeof(FILES) / sizeof(*FILES); i++)
			unlinkat(dir.dir_fd, FILES[i], 0);
		unlinkat(dir.dir_fd, "saved", AT_REMOVEDIR);
		rmdir(path);
	}
	store_dir_close(&dir);
}

void store_dir_close(struct store_dir *dir)
{
	if (!dir)
		return;
	/* a read-only mount, which can't write its own pid there, must not be taken for us */
	if (dir->ends)
		(void)write_owner(dir->lock_fd, "");
	if (dir->lock_fd >= 0)
		close(dir->lock_fd);
	if (dir->dir_fd >= 0)
		close(dir->dir_fd);
	*dir = STORE_DIR_NONE;
}
