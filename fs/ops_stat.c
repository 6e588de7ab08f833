/* SPDX-License-Identifier: MIT */
/* Attributes, of files and of the filesystem. */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "control.h"
#include "opening.h"
#include "path.h"
#include "stores.h"

/* The attributes of what is committed, or of the empty file that is about to be. */
static int committed_stat(struct fs *fs, const struct node *node, struct stat *st,
	uint64_t *version)
{
	struct buf path = BUF_INIT;
	struct document *document;
	struct view view;
	int ret;

	pthread_rwlock_rdlock(&fs->moves);
	pthread_mutex_lock(&fs->lock);
	ret = node_path(node, slice_str(""), &path);
	pthread_mutex_unlock(&fs->lock);
	if (!ret)
		ret = view_find(fs, buf_slice(&path), &view);
	pthread_rwlock_unlock(&fs->moves);
	buf_release(&path);
	if (!ret) {
		*st = view.st;
		*version = view.version;
		if (view.kind == VIEW_DRAFT) {
			struct node_look look;

			node_look(fs, node, &look);
			st->st_ino = look.ino ? look.ino : st->st_ino;
			draft_unref(look.draft);
		}
		return 0;
	}
	pthread_mutex_lock(&fs->lock);
	document = ret == -ENOENT ? document_find(fs, node->parent, node_name(node)) : NULL;
	if (document && document->created) {
		view_empty_stat(fs, document->ino, document->mode, document->made, st);
		*version = 0;
		ret = 0;
	}
	pthread_mutex_unlock(&fs->lock);
	return ret;
}

/*
 * A version that is not the current one any more: as it was for those who hold it open, else as the
 * document is now. (Not ESTALE: the kernel asks before it opens, and it comes back only once.)
 */
static int old_stat(struct fs *fs, const struct node *node, struct stat *st)
{
	struct version *version = document_pinned(fs, node);
	uint64_t ignored;

	if (!version) {
		int ret = committed_stat(fs, node, st, &ignored);

		return ret == -ENOENT ? -ESTALE : ret;
	}
	view_document_stat(fs, &version->st, st);
	version_unref(version);
	return 0;
}

static bool sees_draft(const struct node_look *look, const struct handle *handle, pid_t thread)
{
	bool wrote;

	if (!look->draft)
		return false;

	if (!look->taken || (handle && handle->draft == look->draft))
		return true;
	if (same_process(thread, look->draft->opener))
		return true;
	pthread_mutex_lock(&look->draft->lock);
	wrote = draft_written_by(look->draft, thread);
	pthread_mutex_unlock(&look->draft->lock);
	return wrote;
}

static int document_stat(struct fs *fs, struct node *node, const struct handle *handle,
	pid_t thread, struct stat *st, double *timeout)
{
	struct node_look look;
	uint64_t version = 0;
	int ret;

	*st = (struct stat){.st_mode = 0600};
	node_look(fs, node, &look);
	if (look.state == NODE_CURRENT && look.version)
		*timeout = VIEW_LONG_S;
	if (sees_draft(&look, handle, thread)) {
		opening_catch_up(fs, node, look.draft);
		view_draft_stat(fs, look.draft, look.ino, st);
		ret = 0;
	} else if (look.state == NODE_OLD && look.version) {
		ret = old_stat(fs, node, st);
	} else {
		ret = committed_stat(fs, node, st, &version);
		if (!look.version && (ret == -ENOENT || version)) {
			/* It was opened when it was empty, and reads so. */
			view_empty_stat(fs, look.ino, st->st_mode, fs->started, st);
			ret = 0;
		} else if (ret == -ENOENT ||
			   (!ret && look.state == NODE_CURRENT && version != look.version))
			ret = old_stat(fs, node, st);
	}
	draft_unref(look.draft);
	if (!ret && look.removed)
		st->st_nlink = 0;
	return ret;
}

/*
 * Of a directory or a scratch file: where the other of the two has come to its name, from outside, the kernel is to look
 * that up. An inode that becomes another type is of no use to anyone any more, who has it open neither.
 */
static int same_type_stat(struct fs *fs, const struct node *node, struct stat *st)
{
	uint64_t version;
	int ret = committed_stat(fs, node, st, &version);

	if (!ret && (node_kind(node) == NODE_DIRECTORY) != S_ISDIR(st->st_mode))
		return -ESTALE;
	return ret;
}

static int directory_stat(struct fs *fs, const struct node *node, struct stat *st)
{
	struct node_look look;

	node_look(fs, node, &look);
	if (!look.removed)
		return same_type_stat(fs, node, st);
	view_removed_stat(fs, look.ino, st);
	return 0;
}

static int scratch_node_stat(struct fs *fs, const struct node *node, const struct handle *handle,
	struct stat *st)
{
	bool own = handle && handle->fd >= 0;
	struct stat found;
	struct node_look look;
	int ret;
	int fd;

	/* Of one that has left its name, only who has it open can tell. */
	node_look(fs, node, &look);
	draft_unref(look.draft);
	ret = own || look.state == NODE_OLD ? -ESTALE : same_type_stat(fs, node, st);
	if (ret != -ESTALE)
		return ret;
	fd = own ? handle->fd : fs_dup_open(fs, node);
	if (fd < 0)
		return fd == -ENOENT ? -ESTALE : fd;
	ret = fstat(fd, &found) ? -errno : 0;
	if (!own)
		close(fd);
	if (!ret)
		view_scratch_stat(fs, &found, st);
	return ret;
}

int ops_stat(struct fs *fs, struct node *node, const struct handle *handle, pid_t thread,
	struct stat *st, double *timeout)
{
	uint64_t version;
	int ret;

	*timeout = 0;
	switch (node_kind(node)) {
	case NODE_DOCUMENT:
		return document_stat(fs, node, handle, thread, st, timeout);
	case NODE_SCRATCH:
		*timeout = VIEW_LONG_S;
		return scratch_node_stat(fs, node, handle, st);
	case NODE_DIRECTORY:
		*timeout = OPS_TIMEOUT_DIRECTORY_S;
		return directory_stat(fs, node, st);
	case NODE_CONTROL:
		ret = committed_stat(fs, node, st, &version);
		return ret ? ret : control_node_stat(fs, node, st);
	case NODE_STORE:
		break;
	}
	return committed_stat(fs, node, st, &version);
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat st;
	double timeout;
	int ret = ops_stat(fs, node_of(fs, ino), handle_of(fi), thread_of(req), &st, &timeout);

	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_attr(req, &st, timeout);
}

void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);
	struct statvfs st;

	(void)ino;
	if (fstatvfs(fs->trees[TREE_SCRATCH].root, &st) && statvfs(fs->options->edn_path, &st)) {
		fuse_reply_err(req, errno);
		return;
	}
	st.f_namemax = PATH_NAME_MAX;
	fuse_reply_statfs(req, &st);
}
