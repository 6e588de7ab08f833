/* SPDX-License-Identifier: MIT */
#include "prune.h"

#include <dirent.h>

#include "settle.h"
#include "state.h"
#include "view.h"

static struct slice parent_of(struct slice path)
{
	size_t len = path.len;

	while (len && path.ptr[len - 1] != '/')
		len--;
	return slice_of(path.ptr, len ? len - 1 : 0);
}

/* With the lock held. */
static bool is_noted(const struct prunable *prunable, struct slice directory)
{
	for (size_t i = prunable->count; i-- > 0;)
		if (slice_equal(buf_slice(&prunable->paths[i]), directory))
			return true;
	return false;
}

/* From the innermost one outwards; one that someone made stays. */
static void prune(struct fs *fs, struct slice directory)
{
	struct memory_stat st;

	while (directory.len && !memory_stat(fs->memory, directory, &st) &&
		!scratch_rmdir(&fs->trees[TREE_SCRATCH], directory))
		directory = parent_of(directory);
}

void prune_now(struct fs *fs)
{
	struct prunable *prunable = &fs->prunable;
	struct buf paths[PRUNE_MAX];
	size_t count;

	pthread_mutex_lock(&prunable->lock);
	count = prunable->count;
	memcpy(paths, prunable->paths, count * sizeof(*paths));
	prunable->count = 0;
	pthread_mutex_unlock(&prunable->lock);
	for (size_t i = 0; i < count; i++) {
		prune(fs, buf_slice(&paths[i]));
		buf_release(&paths[i]);
	}
}

void prune_later(struct fs *fs, struct slice path)
{
	struct prunable *prunable = &fs->prunable;
	struct slice directory = parent_of(path);
	struct buf copy = BUF_INIT;
	bool full;

	if (!directory.len || view_below_dot(path))
		return;
	pthread_mutex_lock(&prunable->lock);
	if (!is_noted(prunable, directory)) {
		buf_add_slice(&copy, directory);
		if (buf_error(&copy)) /* without memory it stays until the next mount */
			buf_release(&copy);
		else
			prunable->paths[prunable->count++] = copy;
	}
	full = prunable->count == PRUNE_MAX;
	pthread_mutex_unlock(&prunable->lock);
	if (full)
		prune_now(fs);
}

/* ---- at the mount ---- */

struct left_over {
	struct fs *fs;
	struct slice directory;
};

static int look_below(void *context, struct slice name, unsigned char type, uint64_t ino);

static void sweep(struct fs *fs, struct slice directory)
{
	struct left_over left_over = {fs, directory};

	(void)scratch_list(&fs->trees[TREE_SCRATCH], directory, look_below, &left_over);
}

static int look_below(void *context, struct slice name, unsigned char type, uint64_t ino)
{
	const struct left_over *left_over = context;
	struct fs *fs = left_over->fs;
	struct buf path = BUF_INIT;
	struct memory_stat st;

	(void)ino;
	if (type != DT_DIR || name.ptr[0] == '.')
		return 0;
	buf_add_slice(&path, left_over->directory);
	if (path.len)
		buf_add_char(&path, '/');
	buf_add_slice(&path, name);
	if (!buf_error(&path) && !memory_stat(fs->memory, buf_slice(&path), &st)) {
		sweep(fs, buf_slice(&path));
		if (!settle_secure(fs, buf_slice(&path)))
			(void)scratch_rmdir(&fs->trees[TREE_SCRATCH], buf_slice(&path));
	}
	buf_release(&path);
	return 0;
}

void prune_left_over(struct fs *fs)
{
	sweep(fs, slice_str(""));
}
