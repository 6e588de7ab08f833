/* SPDX-License-Identifier: MIT */
#include "view.h"

#include <errno.h>
#include <stdio.h>

#include "control.h"
#include "hash.h"
#include "path.h"
#include "stores.h"

/*
 * Inode numbers come from five sources that must not meet: the memory's (saved documents: counted
 * from 1; never saved ones and directories: hashes with the top bit set), the backing file system's
 * for scratch files (bit 62 set here), the control files' (bit 61), and each store's own (stores.c: hashes with bit 60).
 */
static const uint64_t SCRATCH_INO = (uint64_t)1 << 62;
static const uint64_t CONTROL_INO = (uint64_t)1 << 61;
static const uint64_t DIRECTORY_INO = (uint64_t)1 << 63;
static const uint64_t DIRECTORY_SEED = 0x6469726563746f72u;

uint64_t view_directory_ino(struct slice path)
{
	return hash64(path.ptr, path.len, DIRECTORY_SEED) | DIRECTORY_INO;
}

/* ---- attributes ---- */

static void common_stat(const struct fs *fs, struct stat *st)
{
	st->st_mode &= S_IFMT | (SCRATCH_MODE & ~fs->options->umask);
	st->st_uid = fs->options->uid;
	st->st_gid = fs->options->gid;
	st->st_blksize = 4096;
	st->st_nlink = 1;
}

static void file_times(struct stat *st, struct timespec time)
{
	st->st_mtim = time;
	st->st_atim = time;
	st->st_ctim = time;
}

void view_document_stat(const struct fs *fs, const struct memory_stat *from, struct stat *st)
{
	*st = (struct stat){0};
	st->st_mode = (from->kind == MEMORY_DIRECTORY ? S_IFDIR : S_IFREG) | (from->mode & 07777);
	st->st_ino = from->ino;
	st->st_size = (off_t)from->size;
	st->st_blocks = (st->st_size + 511) / 512;
	file_times(st, from->mtime);
	common_stat(fs, st);
}

void view_draft_stat(const struct fs *fs, struct draft *draft, uint64_t ino, struct stat *st)
{
	*st = (struct stat){0};
	pthread_mutex_lock(&draft->lock);
	st->st_mode = S_IFREG |
		      ((draft->attributes.has_mode ? draft->attributes.mode : draft->mode) & 07777);
	st->st_size = (off_t)draft->bytes.len;
	file_times(st, draft->attributes.has_mtime ? draft->attributes.mtime : draft->written);
	pthread_mutex_unlock(&draft->lock);
	st->st_ino = ino;
	st->st_blocks = (st->st_size + 511) / 512;
	common_stat(fs, st);
}

void view_empty_stat(const struct fs *fs, uint64_t ino, mode_t mode, struct timespec made,
	struct stat *st)
{
	*st = (struct stat){0};
	st->st_mode = S_IFREG | (mode & 07777);
	st->st_ino = ino;
	file_times(st, made);
	common_stat(fs, st);
}

void view_removed_stat(const struct fs *fs, uint64_t ino, struct stat *st)
{
	*st = (struct stat){0};
	st->st_mode = S_IFDIR | 0700;
	st->st_ino = ino;
	file_times(st, fs->started);
	common_stat(fs, st);
	st->st_nlink = 0;
}

void view_scratch_stat(const struct fs *fs, const struct stat *from, struct stat *st)
{
	*st = *from;
	st->st_ino |= SCRATCH_INO;
	common_stat(fs, st);
	st->st_nlink = from->st_nlink ? 1 : 0;
}

/* ---- paths ---- */

bool view_is_reserved(struct slice path)
{
	static const char *const later[] = {
		".by",
		".search",
		".since",
		".at",
		".history",
		".snap",
		".tx",
		".knowledge",
		".query",
	};
	const char *slash = path.len ? memchr(path.ptr, '/', path.len) : NULL;
	struct slice first = slash ? slice_of(path.ptr, (size_t)(slash - path.ptr)) : path;
	size_t i;

	if (!first.len || first.ptr[0] != '.')
		return false;
	for (i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (slice_equal(first, slice_str(later[i])))
			return true;
	return view_is_read_only(path) || control_find(first) >= 0;
}

static bool first_is(struct slice path, const char *name, struct slice *rest)
{
	struct slice first = slice_str(name);

	if (!slice_starts(path, first) || (path.len > first.len && path.ptr[first.len] != '/'))
		return false;
	*rest = slice_of(path.ptr + first.len, path.len - first.len);
	if (rest->len)
		*rest = slice_of(rest->ptr + 1, rest->len - 1);
	return true;
}

bool view_is_read_only(struct slice path)
{
	struct slice rest;

	return first_is(path, ".rejected", &rest) || first_is(path, ".conflicts", &rest) ||
	       stores_have(path);
}

bool view_below_dot(struct slice path)
{
	const char *at = path.ptr;
	const char *end = path.ptr + path.len;
	const char *slash;

	while (at < end && (slash = memchr(at, '/', (size_t)(end - at)))) {
		if (*at == '.')
			return true;
		at = slash + 1;
	}
	return false;
}

static struct slice last_name(struct slice path)
{
	size_t at = path.len;

	while (at && path.ptr[at - 1] != '/')
		at--;
	return slice_of(path.ptr + at, path.len - at);
}

bool view_is_scratch(struct fs *fs, struct slice path, struct scratch **tree, struct slice *rel)
{
	*tree = &fs->trees[TREE_SCRATCH];
	*rel = path;
	if (first_is(path, ".rejected", rel))
		*tree = &fs->trees[TREE_REJECTED];
	else if (first_is(path, ".conflicts", rel))
		*tree = &fs->trees[TREE_CONFLICTS];
	else
		return view_below_dot(path) || path_is_scratch_name(last_name(path));
	return true;
}

/* ---- finding ---- */

static int find_control(struct fs *fs, struct slice path, struct view *view)
{
	int control = control_find(path);

	if (control < 0)
		return -ENOENT;
	view->kind = VIEW_CONTROL;
	view->control = (unsigned)control;
	control_stat(fs, (unsigned)control, CONTROL_INO | (unsigned)control, &view->st);
	return 0;
}

void view_document(const struct fs *fs, const struct memory_stat *found, struct view *view)
{
	*view = (struct view){
		.kind = VIEW_DOCUMENT, .version = found->version, .hidden = found->hidden};
	view_document_stat(fs, found, &view->st);
}

static int find_document(struct fs *fs, struct slice path, struct view *view)
{
	struct memory_stat found;
	uint64_t number;
	struct stat st;
	int ret = memory_stat(fs->memory, path, &found);

	if (!ret && found.kind == MEMORY_DOCUMENT) {
		view_document(fs, &found, view);
		return 0;
	}
	if (ret && ret != -ENOENT)
		return ret == -EINVAL || ret == -EISDIR || ret == -ENOTDIR ? -ENOENT : ret;
	ret = scratch_stat(&fs->trees[TREE_SCRATCH], path, &st);
	if (ret || !S_ISREG(st.st_mode) || st.st_size)
		return ret && ret != -ENOTDIR ? ret : -ENOENT;
	view->kind = VIEW_DRAFT;
	view_scratch_stat(fs, &st, &view->st);
	number = scratch_get_number(&fs->trees[TREE_SCRATCH], path);
	if (number)
		view->st.st_ino = number;
	return 0;
}

/*
 * Keys have come (from outside) to be below a name where a scratch file stands. It takes no other file's place: that is a
 * user's, too, and the kernel has its inode at hand.
 */
static void step_aside(struct scratch *tree, struct slice rel)
{
	struct buf aside = BUF_INIT;
	int ret;

	buf_add_slice(&aside, rel);
	do {
		buf_add_char(&aside, '~');
		ret = buf_error(&aside);
		if (!ret)
			ret = scratch_rename(tree, rel, buf_slice(&aside), RENAME_NOREPLACE);
	} while (ret == -EEXIST);
	buf_release(&aside);
}

/* A directory, or a scratch file. */
static int find_other(struct fs *fs, struct slice path, struct scratch *tree, struct slice rel,
	struct view *view)
{
	struct memory_stat found;
	struct stat st;
	bool scratch_only = tree != &fs->trees[TREE_SCRATCH] || view_below_dot(path) ||
			    (path.len && last_name(path).ptr[0] == '.');
	int ret = scratch_only ? -ENOENT : memory_stat(fs->memory, path, &found);
	int real = scratch_stat(tree, rel, &st);

	view->in_memory = !ret && found.kind == MEMORY_DIRECTORY;
	view->in_scratch = !real && S_ISDIR(st.st_mode);
	if (view->in_memory) {
		if (!real && S_ISREG(st.st_mode) && !fs->options->read_only)
			step_aside(tree, rel);
		view->kind = VIEW_DIRECTORY;
		view_document_stat(fs, &found, &view->st);
	} else if (real) {
		return real == -ENOTDIR || real == -ELOOP || real == -EXDEV ? -ENOENT : real;
	} else {
		view->kind = view->in_scratch ? VIEW_DIRECTORY : VIEW_SCRATCH;
		view_scratch_stat(fs, &st, &view->st);
	}
	if (view->kind == VIEW_DIRECTORY)
		view->st.st_ino = path.len ? view_directory_ino(path) : FUSE_ROOT_ID;
	return 0;
}

int view_find(struct fs *fs, struct slice path, struct view *view)
{
	struct scratch *tree;
	struct slice rel;

	*view = (struct view){0};
	if (stores_have(path))
		return stores_find(fs, path, view);
	if (view_is_reserved(path) && !view_is_read_only(path))
		return find_control(fs, path, view);
	if (!path.len || view_is_scratch(fs, path, &tree, &rel))
		return find_other(fs, path, path.len ? tree : &fs->trees[TREE_SCRATCH],
			path.len ? rel : path, view);
	return find_document(fs, path, view);
}
