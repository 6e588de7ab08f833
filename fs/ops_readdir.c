/* SPDX-License-Identifier: MIT */
/* Directories: reading, and syncing what is in them. */
#include "ops.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "listing.h"
#include "loop.h"
#include "settle.h"

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *node = node_of(fs, ino);
	struct handle *handle = handle_new(HANDLE_DIRECTORY, fi->flags);

	if (!handle) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&fs->lock);
	handle_attach(fs, handle, node, NULL);
	pthread_mutex_unlock(&fs->lock);
	fi->fh = (uintptr_t)handle;
	if (fuse_reply_open(req, fi))
		handle_free(fs, handle);
}

void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	handle_free(fs_of(req), handle_of(fi));
	fuse_reply_err(req, 0);
}

/* Index -2 is ".", -1 "..": so offset 0 begins before both, and an entry's offset is the next's. */
enum { DOTS = 2 };

static size_t add_plain(fuse_req_t req, char *to, size_t room, struct listing *listing, size_t at)
{
	const struct listing_entry *found;
	struct stat st = {0};

	if (at < DOTS) {
		st.st_mode = S_IFDIR;
		st.st_ino = FUSE_ROOT_ID;
		return fuse_add_direntry(req, to, room, at ? ".." : ".", &st, (off_t)at + 1);
	}
	found = listing_at(listing, at - DOTS);
	st.st_mode = DTTOIF(found->type);
	st.st_ino = found->ino;
	return fuse_add_direntry(req, to, room, found->name, &st, (off_t)at + 1);
}

/* Some that come one behind another. */
struct several {
	struct listing_entry entries[OPS_NAMES_MAX];
	struct ops_named named[OPS_NAMES_MAX];
	size_t count;
};

static size_t room_of(fuse_req_t req, const char *name)
{
	return fuse_add_direntry_plus(req, NULL, 0, name, NULL, 0);
}

/* Only what is handed out may be counted as looked up: no more than there is room for. */
static void gather(fuse_req_t req, struct listing *listing, size_t at, size_t room,
	struct several *several)
{
	for (several->count = 0; several->count < OPS_NAMES_MAX; several->count++) {
		struct listing_entry *entry = &several->entries[several->count];

		if (at - DOTS + several->count >= listing->count)
			break;
		*entry = *listing_at(listing, at - DOTS + several->count);
		if (room_of(req, entry->name) > room)
			break;
		room -= room_of(req, entry->name);
		several->named[several->count].name = slice_of(entry->name, entry->name_len);
	}
}

static size_t add_plus(fuse_req_t req, char *to, size_t room, const struct listing_entry *found,
	const struct ops_named *named, size_t at)
{
	struct fuse_entry_param name_only = {0};

	name_only.attr.st_mode = DTTOIF(found->type);
	name_only.attr.st_ino = found->ino;
	/*
	 * What the kernel knows already costs it, too, to be told of. Without attributes an entry is nothing but a name
	 * to it, and leaves alone what it has. One that is gone since: whoever looks it up learns it.
	 */
	return fuse_add_direntry_plus(req, to, room, found->name,
		named->ret ? &name_only : &named->entry, (off_t)at + 1);
}

static size_t add_dot_plus(fuse_req_t req, char *to, size_t room, size_t at)
{
	struct fuse_entry_param entry = {0};

	entry.attr.st_mode = S_IFDIR;
	entry.attr.st_ino = FUSE_ROOT_ID;
	return fuse_add_direntry_plus(req, to, room, at ? ".." : ".", &entry, (off_t)at + 1);
}

static int fill_plus(fuse_req_t req, struct handle *handle, struct buf *to, size_t at)
{
	struct several *several = malloc(sizeof(*several));
	size_t size = to->cap;

	if (!several)
		return -ENOMEM;
	for (; at < DOTS && add_dot_plus(req, NULL, 0, at) <= size - to->len; at++)
		to->len += add_dot_plus(req, to->ptr + to->len, size - to->len, at);
	while (at >= DOTS) {
		gather(req, handle->listing, at, size - to->len, several);
		if (!several->count)
			break;
		ops_enter_names(fs_of(req), handle->node, several->named, several->count);
		for (size_t i = 0; i < several->count; i++, at++)
			to->len += add_plus(req, to->ptr + to->len, size - to->len,
				&several->entries[i], &several->named[i], at);
	}
	free(several);
	return 0;
}

static void fill_plain(fuse_req_t req, struct handle *handle, struct buf *to, size_t at)
{
	for (; at < handle->listing->count + DOTS; at++) {
		size_t room = to->cap - to->len;
		size_t need = add_plain(req, to->ptr + to->len, room, handle->listing, at);

		if (need > room)
			break;
		to->len += need;
	}
}

static void read_directory(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi,
	bool plus)
{
	struct handle *handle = handle_of(fi);
	struct buf bytes = {.ptr = malloc(size), .cap = size};
	int ret = bytes.ptr ? 0 : -ENOMEM;

	pthread_mutex_lock(&handle->lock);
	if (!ret && (!offset || !handle->listing)) {
		listing_free(handle->listing);
		handle->listing = NULL;
		ret = listing_new(&handle->listing, fs_of(req), handle->node);
	}
	if (!ret && plus)
		ret = fill_plus(req, handle, &bytes, (size_t)offset);
	else if (!ret)
		fill_plain(req, handle, &bytes, (size_t)offset);
	pthread_mutex_unlock(&handle->lock);
	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_buf(req, bytes.ptr, bytes.len);
	free(bytes.ptr);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	(void)ino;
	read_directory(req, size, offset, fi, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	(void)ino;
	read_directory(req, size, offset, fi, true);
}

void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct err reason = {0};
	struct buf path = BUF_INIT;
	struct scratch *tree;
	struct slice rel;
	int ret = fs_path(fs, node_of(fs, ino), NULL, &path);

	(void)datasync;
	(void)fi;
	loop_stand_aside();
	if (!ret) {
		prune_now(fs); /* rather than to sync what is of no use */
		/* Names are in the memory, and those of scratch files in a real directory. */
		(void)view_is_scratch(fs, buf_slice(&path), &tree, &rel);
		ret = scratch_sync_directory(tree, rel);
	}
	buf_release(&path);
	if (!ret)
		ret = ops_explain(fs, slice_str(""), memory_fsync(fs->memory, &reason), &reason);
	fuse_reply_err(req, -ret);
}
