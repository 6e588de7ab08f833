/* SPDX-License-Identifier: MIT */
#include "settle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct settling_directory {
	struct settling_directory *next;
	size_t len; /* of its path */
	bool real;  /* was below scratch/ already, when the settling was made ready */
	mode_t mode;
	struct timespec mtime;
};

static size_t parent_len(struct slice path)
{
	size_t len = path.len;

	while (len && path.ptr[len - 1] != '/')
		len--;
	return len ? len - 1 : 0;
}

static struct slice last_name(struct slice path)
{
	size_t above = parent_len(path) ? parent_len(path) + 1 : 0;

	return slice_of(path.ptr + above, path.len - above);
}

static struct slice path_of(const struct settling *settling, const struct settling_directory *one)
{
	return slice_of(settling->path.ptr, one->len);
}

/* The kernel may have been told of a time between two steps. */
static void forget_attributes(struct fs *fs, struct slice path)
{
	const struct node *node;
	fuse_ino_t ino = 0;

	pthread_mutex_lock(&fs->lock);
	node = node_find_path(&fs->nodes, path);
	if (node)
		ino = ino_of(fs, node);
	pthread_mutex_unlock(&fs->lock);
	if (ino)
		(void)fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
}

static bool add(struct settling_directory ***last, size_t len, mode_t mode, struct timespec mtime)
{
	struct settling_directory *one = malloc(sizeof(*one));

	if (!one)
		return false;
	*one = (struct settling_directory){.len = len, .mode = mode & 0777, .mtime = mtime};
	**last = one;
	*last = &one->next;
	return true;
}

static void lock(struct fs *fs, struct settling *settling)
{
	pthread_mutex_lock(&fs->settling);
	settling->locked = true;
}

void settle_begin_coming(struct fs *fs, struct slice path, struct settling *settling)
{
	struct settling_directory **last = &settling->first;
	struct slice directory = slice_of(path.ptr, parent_len(path));
	struct memory_stat known;
	struct stat st;

	*settling = (struct settling){0};
	if (!directory.len || memory_stat(fs->memory, directory, &known) != -ENOENT)
		return;
	lock(fs, settling);
	buf_add_slice(&settling->path, path);
	/*
	 * Of one that is the memory's all above are, too. Without memory for it a directory shows the default: no reason to
	 * refuse a save.
	 */
	while (!buf_error(&settling->path) && directory.len &&
		memory_stat(fs->memory, directory, &known) == -ENOENT &&
		!scratch_stat(&fs->trees[TREE_SCRATCH], directory, &st) &&
		add(&last, directory.len, st.st_mode, st.st_mtim))
		directory.len = parent_len(directory);
}

/* The innermost makes those above it; then, from below, each gets its own mode and time. */
static void make_real(struct fs *fs, struct slice path, const struct settling_directory *one,
	bool innermost)
{
	struct timespec times[2] = {one->mtime, one->mtime};
	int fd;

	if (scratch_keep_directory(&fs->trees[TREE_SCRATCH], path))
		return;
	fd = scratch_openfile(&fs->trees[TREE_SCRATCH], path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return;
	(void)fchmod(fd, one->mode);
	if (!innermost)
		(void)futimens(fd, times);
	close(fd);
	scratch_changed(&fs->trees[TREE_SCRATCH]);
}

/*
 * Those in which nothing else is become real before the last key goes, so that a daemon that is killed
 * behind that leaves them. Where they stay the memory's (an empty collection does), release removes them.
 */
static void make_ready(struct fs *fs, struct settling *settling)
{
	struct settling_directory *one = settling->first;
	struct slice name = last_name(buf_slice(&settling->path));
	struct stat st;

	if (!one || memory_holds_only(fs->memory, path_of(settling, one), name))
		return;
	settling->ready = true;
	for (; one; one = one->next)
		one->real = !scratch_stat(&fs->trees[TREE_SCRATCH], path_of(settling, one), &st);
	for (one = settling->first; one; one = one->next) {
		if (memory_holds_only(fs->memory, path_of(settling, one), name))
			return;
		make_real(fs, path_of(settling, one), one, one == settling->first);
		name = last_name(path_of(settling, one));
	}
}

int settle_begin_leaving(struct fs *fs, struct slice path, struct settling *settling)
{
	struct settling_directory **last = &settling->first;
	struct slice directory = slice_of(path.ptr, parent_len(path));
	struct memory_stat known;
	int ret;

	*settling = (struct settling){0};
	if (!directory.len)
		return 0;
	lock(fs, settling);
	buf_add_slice(&settling->path, path);
	ret = buf_error(&settling->path);
	while (!ret && directory.len) {
		ret = memory_stat(fs->memory, directory, &known);
		if (!ret && !add(&last, directory.len, known.mode, known.mtime))
			ret = -ENOMEM;
		directory.len = parent_len(directory);
	}
	if (ret == -ENOMEM)
		return ret;
	make_ready(fs, settling);
	if (settling->ready)
		memory_barrier(fs->memory);
	return 0;
}

int settle_secure(struct fs *fs, struct slice path)
{
	if (!scratch_may_be_promised(&fs->trees[TREE_SCRATCH], path))
		return 0;
	return memory_fsync(fs->memory, NULL);
}

void settle_drop_empty(struct fs *fs, struct slice path)
{
	struct stat st;

	if (!scratch_stat(&fs->trees[TREE_SCRATCH], path, &st) && !settle_secure(fs, path))
		(void)scratch_unlink(&fs->trees[TREE_SCRATCH], path, false);
}

void settle_came(struct fs *fs, struct settling *settling)
{
	const struct settling_directory *one;

	for (one = settling->first; one; one = one->next) {
		const struct memory_attributes attributes = {
			.has_mode = true,
			.has_mtime = one != settling->first,
			.mode = one->mode,
			.mtime = one->mtime,
		};

		if (!settle_secure(fs, path_of(settling, one)))
			(void)scratch_rmdir(&fs->trees[TREE_SCRATCH], path_of(settling, one));
		(void)memory_set_attributes(fs->memory, path_of(settling, one), &attributes);
		forget_attributes(fs, path_of(settling, one));
	}
}

/* A directory that was emptied through the mount stays until rmdir, though no key makes it any more. */
void settle_left(struct fs *fs, struct settling *settling)
{
	const struct settling_directory *one = settling->first;
	struct memory_stat known;

	for (; one; one = one->next) {
		if (memory_stat(fs->memory, path_of(settling, one), &known) != -ENOENT)
			continue;
		make_real(fs, path_of(settling, one), one, one == settling->first);
		forget_attributes(fs, path_of(settling, one));
	}
}

void settle_release(struct fs *fs, struct settling *settling)
{
	const struct settling_directory *any;
	struct memory_stat known;

	for (any = settling->ready ? settling->first : NULL; any; any = any->next)
		if (!any->real && !memory_stat(fs->memory, path_of(settling, any), &known))
			(void)scratch_rmdir(&fs->trees[TREE_SCRATCH], path_of(settling, any));
	while (settling->first) {
		struct settling_directory *one = settling->first;

		settling->first = one->next;
		free(one);
	}
	buf_release(&settling->path);
	if (settling->locked)
		pthread_mutex_unlock(&fs->settling);
	settling->locked = false;
}

bool settle_directory_time(struct fs *fs, struct slice path, struct timespec *time)
{
	struct memory_stat known;

	if (memory_stat(fs->memory, slice_of(path.ptr, parent_len(path)), &known))
		return false;
	*time = known.mtime;
	return true;
}

void settle_set_directory_time(struct fs *fs, struct slice path, const struct timespec *before)
{
	struct memory_attributes attributes = {.has_mtime = true};
	struct slice directory = slice_of(path.ptr, parent_len(path));

	if (before)
		attributes.mtime = *before;
	else
		clock_gettime(CLOCK_REALTIME, &attributes.mtime);
	if (!memory_set_attributes(fs->memory, directory, &attributes))
		forget_attributes(fs, directory);
}
