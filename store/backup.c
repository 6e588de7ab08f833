/* SPDX-License-Identifier: MIT */
#include "backup.h"

#include "backup_journal.h"
#include "copy_tree.h"
#include "env_copy.h"
#include "journal.h"
#include "memory_internal.h"
#include "mode_file.h"
#include "saved.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * In which order:
 *
 *	hold the journal   nothing that is in it, or comes, is trimmed from now on
 *	memory.edn         and saved: again, until saved says that this is the file it knows
 *	saved/data.mdb     holds the journal up to its watermark
 *	data.mdb           is written before saved: at least as far
 *	the journal        synced before either was: at least as far, from before saved's watermark
 *
 * The journal that was copied is read once: a record that is missing between the watermark and its end would
 * mean that it was not held.
 */
enum { TRIES = 10, PATH_BYTES = 4096 };

#define STORE_NAME "memory.eav"
#define EDN_NAME   "memory.edn"

struct copying {
	struct backup *backup;
	char to[PATH_BYTES];      /* without slashes at its end */
	char whole[PATH_BYTES];   /* what it is called until it is: to.partial */
	char partial[PATH_BYTES]; /* the store in it */
	int whole_fd;
	int partial_fd;
	char journal_path[PATH_BYTES];
	struct backup_journal journal;
};

static int fail(struct err *err, const char *path)
{
	int code = -errno;

	return err_set(err, code, "%s: %s", path, strerror(-code));
}

static int join(char path[PATH_BYTES], const char *dir, const char *name, struct err *err)
{
	if (snprintf(path, PATH_BYTES, "%s/%s", dir, name) >= PATH_BYTES)
		return err_set(err, -ENAMETOOLONG, "%s: %s", dir, strerror(ENAMETOOLONG));
	return 0;
}

/* ---- where it goes ---- */

static int check_empty(const char *path, struct err *err)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int ret = 0;

	if (!dir)
		return errno == ENOENT ? 0 : fail(err, path);
	while (!ret && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ret = err_set(err, -ENOTEMPTY, "%s: it is not empty", path);
	closedir(dir);
	return ret;
}

static int make_dir(int at, const char *name, const char *path, int *fd, struct err *err)
{
	int ret;

	if (mkdirat(at, name, 0700))
		return fail(err, path);
	*fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	ret = fail(err, path);
	unlinkat(at, name, AT_REMOVEDIR);
	return ret;
}

/* What is in the store would be copied into itself, or be taken for a part of it. */
static int check_outside(const struct copying *c, struct err *err)
{
	struct stat store, here = {0}, above;
	int fd = fcntl(c->whole_fd, F_DUPFD_CLOEXEC, 0);
	bool inside = false;
	int ret = fd < 0 || stat(c->backup->store, &store) ? fail(err, c->backup->store) : 0;

	while (!ret && !inside) {
		int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		close(fd);
		fd = up;
		if (fd < 0 || fstat(fd, &above))
			ret = fail(err, c->whole);
		else if (above.st_dev == here.st_dev && above.st_ino == here.st_ino)
			break; /* the root's is the root */
		else
			inside = above.st_dev == store.st_dev && above.st_ino == store.st_ino;
		here = above;
	}
	if (fd >= 0)
		close(fd);
	return inside ? err_set(err, -EINVAL, "%s: it is in the store itself", c->to) : ret;
}

/* A backup that is not whole has another name, so that nobody takes it for one. */
static int open_target(struct copying *c, struct err *err)
{
	int ret = join(c->to, c->backup->to, "", err);
	size_t len = strlen(c->to);

	while (len > 1 && c->to[len - 1] == '/')
		c->to[--len] = '\0';
	if (!ret && snprintf(c->whole, PATH_BYTES, "%s.partial", c->to) >= PATH_BYTES)
		ret = err_set(err, -ENAMETOOLONG, "%s: %s", c->to, strerror(ENAMETOOLONG));
	if (!ret)
		ret = check_empty(c->to, err);
	if (!ret)
		ret = join(c->partial, c->whole, STORE_NAME, err);
	if (!ret)
		ret = make_dir(AT_FDCWD, c->whole, c->whole, &c->whole_fd, err);
	if (ret == -EEXIST)
		err_set(err, ret, "%s: left by a backup that was killed: remove it", c->whole);
	if (!ret)
		ret = check_outside(c, err);
	return ret ? ret : make_dir(c->whole_fd, STORE_NAME, c->partial, &c->partial_fd, err);
}

/* ---- the journal ---- */

static int hold_journal(struct copying *c, struct err *err)
{
	backup_journal_release(&c->journal);
	return backup_journal_hold(&c->journal, c->journal_path, err);
}

static int copy_journal(struct copying *c, uint64_t watermark, struct err *err)
{
	int ret = mkdirat(c->partial_fd, "journal", 0700) ? fail(err, "journal") : 0;
	int fd = ret ? -1 : openat(c->partial_fd, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!ret && fd < 0)
		ret = fail(err, "journal");
	if (!ret)
		ret = backup_journal_copy(&c->journal, watermark, fd, err);
	if (fd >= 0)
		close(fd);
	return ret;
}

/* ---- memory.edn and saved, of one moment ---- */

static int read_notes(const struct copying *c, struct memory_file_note *file,
	struct memory_file_note *intent, uint64_t *watermark, struct err *err)
{
	struct saved_reader reader;
	struct saved *saved;
	int ret = saved_open(&saved, c->partial_fd, c->partial, true, err);

	*file = *intent = (struct memory_file_note){0};
	*watermark = 0;
	if (ret)
		return ret;
	ret = saved_read_begin(saved, &reader);
	if (!ret) {
		saved_note_get(&reader, "file", file, sizeof(*file));
		saved_note_get(&reader, "intent", intent, sizeof(*intent));
		saved_note_get(&reader, "watermark", watermark, sizeof(*watermark));
		saved_read_end(&reader);
	}
	saved_close(saved);
	return ret ? err_set(err, ret, "saved/data.mdb: %s", strerror(-ret)) : 0;
}

static int hash_of(int fd, struct hash128 *hash)
{
	struct buf text = BUF_INIT;
	ssize_t got = 1;
	int ret = 0;

	while (!ret && got > 0) {
		char part[1 << 16];

		got = pread(fd, part, sizeof(part), (off_t)text.len);
		if (got > 0)
			buf_add(&text, part, (size_t)got);
		ret = got < 0 ? -errno : buf_error(&text);
	}
	if (!ret)
		*hash = hash128(text.ptr, text.len);
	buf_release(&text);
	return ret;
}

/* 1: there is one, with this hash. */
static int copy_edn(const struct copying *c, struct hash128 *hash, struct err *err)
{
	const char *path = c->backup->edn;
	int from, fd = -1;
	int ret;

	if (unlinkat(c->whole_fd, EDN_NAME, 0) && errno != ENOENT)
		return fail(err, EDN_NAME);
	from = open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return errno == ENOENT ? 0 : fail(err, path);
	ret = copy_file(from, c->whole_fd, EDN_NAME, err);
	if (!ret) {
		fd = openat(c->whole_fd, EDN_NAME, O_RDONLY | O_CLOEXEC);
		ret = fd < 0 ? -errno : hash_of(fd, hash);
		if (ret)
			err_set(err, ret, "%s: %s", path, strerror(-ret));
	}
	if (fd >= 0)
		close(fd);
	close(from);
	return ret ? ret : 1;
}

static int copy_saved(const struct copying *c, struct err *err)
{
	char from[PATH_BYTES], to[PATH_BYTES];
	int ret = join(from, c->backup->store, "saved", err);

	if (!ret)
		ret = join(to, c->partial, "saved", err);
	if (ret)
		return ret;
	if (unlinkat(c->partial_fd, "saved/data.mdb", 0) && errno != ENOENT)
		return fail(err, to);
	if (mkdirat(c->partial_fd, "saved", 0700) && errno != EEXIST)
		return fail(err, to);
	return env_copy(from, to, err);
}

/*
 * A memory.edn that saved does not know would be taken for another writer's. Such a one may well stand there, half
 * written even; then the mount of the backup judges it, as that of the store would have.
 */
static int copy_values(struct copying *c, uint64_t *watermark, struct err *err)
{
	struct memory_file_note file, intent;
	struct hash128 hash;
	bool known = false;
	int ret = 0;

	for (int i = 0; i < TRIES && !ret && !known; i++) {
		ret = hold_journal(c, err);
		if (!ret)
			ret = copy_edn(c, &hash, err);
		known = !ret;
		if (ret < 0)
			return ret;
		ret = copy_saved(c, err);
		if (!ret)
			ret = read_notes(c, &file, &intent, watermark, err);
		known = known || hash128_equal(hash, file.hash) || hash128_equal(hash, intent.hash);
	}
	return ret;
}

/* ---- the whole ---- */

static int copy_eav(const struct copying *c, struct err *err)
{
	int ret = env_copy(c->backup->store, c->partial, err);

	if (ret == -ENOENT) {
		*err = (struct err){0};
		return 0; /* edn-only */
	}
	return ret;
}

/* Before the journal, so that it knows of no switch that the copy does not. */
static void copy_mode(const struct copying *c)
{
	int from = open(c->backup->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum mode mode;

	if (from < 0)
		return;
	if (mode_file_read(from, &mode))
		mode_file_write(c->partial_fd, mode);
	close(from);
}

static int copy_trees(const struct copying *c, struct err *err)
{
	static const char *const TREES[] = {"scratch", "rejected", "conflicts"};
	char from[PATH_BYTES], to[PATH_BYTES];
	int ret = 0;

	for (size_t i = 0; i < sizeof(TREES) / sizeof(TREES[0]) && !ret; i++) {
		ret = join(from, c->backup->store, TREES[i], err);
		if (!ret)
			ret = join(to, c->partial, TREES[i], err);
		if (!ret)
			ret = copy_tree(from, to, &c->backup->skipped, err);
		if (ret == -ENOENT && err->code) {
			*err = (struct err){0};
			ret = 0;
		}
	}
	return ret;
}

static int pass_by(void *context, const struct journal_record *record, struct err *err)
{
	(void)context;
	(void)record;
	(void)err;
	return 0;
}

/* The name of what is in the directory above, durably. */
static int sync_above(const char *path, struct err *err)
{
	char above[PATH_BYTES];
	char *slash;
	int fd, ret = 0;

	snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	if (slash)
		slash[slash == above] = '\0';
	fd = open(slash ? above : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		ret = fail(err, path);
	if (fd >= 0)
		close(fd);
	return ret;
}

static int publish(const struct copying *c, struct err *err)
{
	if (syncfs(c->whole_fd) || rename(c->whole, c->to))
		return fail(err, c->to);
	return sync_above(c->to, err);
}

static int copy_all(struct copying *c, struct err *err)
{
	uint64_t watermark;
	int ret = copy_values(c, &watermark, err);

	if (!ret)
		ret = copy_eav(c, err);
	copy_mode(c);
	if (!ret)
		ret = copy_journal(c, watermark, err);
	if (!ret)
		ret = journal_replay_only(c->partial_fd, watermark, pass_by, NULL, err);
	if (!ret)
		ret = copy_trees(c, err);
	return ret;
}

int backup_make(struct backup *backup, struct err *err)
{
	struct copying c = {.backup = backup, .partial_fd = -1, .whole_fd = -1};
	int ret = open_target(&c, err);

	if (!ret)
		ret = join(c.journal_path, backup->store, "journal", err);
	if (!ret)
		ret = copy_all(&c, err);
	if (!ret)
		ret = publish(&c, err);
	if (ret && c.whole_fd >= 0)
		remove_tree(c.whole);
	backup_journal_release(&c.journal);
	if (c.partial_fd >= 0)
		close(c.partial_fd);
	if (c.whole_fd >= 0)
		close(c.whole_fd);
	return ret;
}
