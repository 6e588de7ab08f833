/* SPDX-License-Identifier: MIT */
/* Directories: reading, and syncing what is in them. */
#include "ops.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "listing.h"
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

/*
 * What the kernel knows already costs it, too, to be told of. Without attributes an entry is nothing but a name to it, and
 * leaves alone what it has.
 */
static bool is_told(struct fs *fs, const struct node *directory, const char *name)
{
	const struct node *node;
	bool told;

	pthread_mutex_lock(&fs->lock);
	node = node_find(&fs->nodes, directory, slice_str(name));
	told = node && node->told && node->lookups;
	pthread_mutex_unlock(&fs->lock);
	return told;
}

static size_t add_plus(fuse_req_t req, struct node *directory, char *to, size_t room,
	struct listing *listing, size_t at)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry = {0};
	const struct listing_entry *found = at < DOTS ? NULL : listing_at(listing, at - DOTS);
	const char *name = found ? found->name : at ? ".." : ".";
	size_t need = fuse_add_direntry_plus(req, NULL, 0, name, &entry, 0);

	/* Only what is handed out may be counted as looked up. */
	if (need > room)
		return need;
	if (!found) {
		entry.attr.st_mode = S_IFDIR;
		entry.attr.st_ino = FUSE_ROOT_ID;
	} else if (is_told(fs, directory, name) ||
		   ops_enter(fs, directory, slice_str(name), 0, &entry)) {
		/* Or gone since: whoever looks it up learns it. */
		entry = (struct fuse_entry_param){0};
		entry.attr.st_mode = DTTOIF(found->type);
		entry.attr.st_ino = found->ino;
	}
	return fuse_add_direntry_plus(req, to, room, name, &entry, (off_t)at + 1);
}

static void read_directory(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi,
	bool plus)
{
	struct handle *handle = handle_of(fi);
	char *bytes = malloc(size);
	size_t used = 0;
	size_t at = (size_t)offset;
	int ret = bytes ? 0 : -ENOMEM;

	pthread_mutex_lock(&handle->lock);
	if (!ret && (!offset || !handle->listing)) {
		listing_free(handle->listing);
		handle->listing = NULL;
		ret = listing_new(&handle->listing, fs_of(req), handle->node);
	}
	for (; !ret && at < handle->listing->count + DOTS; at++) {
		size_t need = plus ? add_plus(req, handle->node, bytes + used, size - used,
					     handle->listing, at)
				   : add_plain(req, bytes + used, size - used, handle->listing, at);

		if (need > size - used)
			break;
		used += need;
	}
	pthread_mutex_unlock(&handle->lock);
	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_buf(req, bytes, used);
	free(bytes);
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
