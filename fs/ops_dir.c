/* SPDX-License-Identifier: MIT */
/* Directories: making and removing; unlink; what users may not make. */
#include "ops.h"

#include <errno.h>

#include "path.h"
#include "settle.h"

/* ---- making ---- */

static bool ends_in_json(const char *name)
{
	return slice_ends(slice_str(name), SLICE_LITERAL(".json"));
}

/* May an entry of that name be made here at all? */
static int may_make(struct slice path, bool in_dot)
{
	if (view_is_read_only(path))
		return -EROFS;
	if (!in_dot && view_is_reserved(path))
		return -EPERM;
	return 0;
}

static int make_directory(struct fs *fs, struct slice path, const char *name, mode_t mode)
{
	struct view view;
	struct scratch *tree;
	struct slice rel;
	int ret = may_make(path, false);

	if (ret)
		return ret;
	if (strlen(name) > PATH_NAME_MAX)
		return -ENAMETOOLONG;
	if (ends_in_json(name) && !view_below_dot(path)) {
		refusals_log(fs->refusals, path, "a directory's name can't end in .json");
		return -EINVAL;
	}
	ret = view_find(fs, path, &view);
	if (ret != -ENOENT)
		return ret ? ret : -EEXIST;
	(void)view_is_scratch(fs, path, &tree, &rel);
	ret = scratch_mkdir(tree, rel, mode);
	if (!ret)
		settle_set_directory_time(fs, path, NULL);
	return ret;
}

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fs *fs = fs_of(req);
	struct node *directory = node_of(fs, parent);
	struct fuse_entry_param entry;
	struct buf path = BUF_INIT;
	int ret;

	pthread_rwlock_rdlock(&fs->moves);
	ret = fs_path(fs, directory, name, &path);
	if (!ret)
		ret = make_directory(fs, buf_slice(&path), name, mode);
	if (!ret)
		ret = ops_enter_alone(fs, directory, slice_str(name), &entry);
	pthread_rwlock_unlock(&fs->moves);
	buf_release(&path);
	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_entry(req, &entry);
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	(void)target;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)device;
	fuse_reply_err(req, EPERM);
}

/* ---- removing ---- */

static int remove_directory(struct fs *fs, struct node *parent, const char *name, struct slice path)
{
	const struct node *node;
	bool used;
	struct scratch *tree;
	struct slice rel;
	struct view view;
	struct err reason = {0};
	int ret = view_is_read_only(path) ? -EROFS : view_find(fs, path, &view);

	if (ret)
		return ret;
	if (view.kind != VIEW_DIRECTORY)
		return -ENOTDIR;
	pthread_mutex_lock(&fs->lock);
	node = node_find(&fs->nodes, parent, slice_str(name));
	used = node && document_any_created(fs, node);
	pthread_mutex_unlock(&fs->lock);
	if (used)
		return -ENOTEMPTY;
	(void)view_is_scratch(fs, path, &tree, &rel);
	if (view.in_scratch) {
		ret = scratch_is_empty(tree, rel);
		if (ret)
			return ret;
	}
	/* The key first: what can still be refused must not leave half a removal. */
	if (view.in_memory)
		ret = memory_remove_directory(fs->memory, path, &reason);
	if (!ret && view.in_scratch)
		ret = scratch_rmdir(tree, rel);
	if (!ret && !view.in_memory)
		settle_set_directory_time(fs, path, NULL);
	/* that it is not empty is nothing to look at: who clears up just tries */
	return ret == -ENOTEMPTY ? ret : ops_explain(fs, path, ret, &reason);
}

void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct node *directory = node_of(fs, parent);
	struct buf path = BUF_INIT;
	struct settling settling = {0};
	int ret;

	pthread_rwlock_rdlock(&fs->moves);
	ret = fs_path(fs, directory, name, &path);
	if (!ret)
		ret = settle_begin_leaving(fs, buf_slice(&path), &settling);
	if (!ret)
		ret = remove_directory(fs, directory, name, buf_slice(&path));
	if (!ret)
		settle_left(fs, &settling);
	settle_release(fs, &settling);
	if (!ret) {
		struct node *node;

		pthread_mutex_lock(&fs->lock);
		node = node_find(&fs->nodes, directory, slice_str(name));
		if (node) {
			node->removed = true;
			node_unhash(&fs->nodes, node);
			document_kill_in(fs, node);
		}
		pthread_mutex_unlock(&fs->lock);
	}
	pthread_rwlock_unlock(&fs->moves);
	buf_release(&path);
	fuse_reply_err(req, -ret);
}

/* ---- unlink ---- */

static int delete_document(struct fs *fs, const struct document *document, struct slice path,
	struct err *reason)
{
	int ret = memory_delete(fs->memory, path, reason);
	int removed = scratch_unlink(&fs->trees[TREE_SCRATCH], path, false); /* an empty draft */

	return ret == -ENOENT && (!removed || document_is_seen(document)) ? 0 : ret;
}

static int unlink_document(struct fs *fs, struct node *parent, const char *name, struct slice path)
{
	struct document_change change = {.kill = true};
	struct document *document;
	struct settling settling;
	struct err reason = {0};
	int ret;

	pthread_mutex_lock(&fs->lock);
	document = document_get(fs, parent, slice_str(name));
	pthread_mutex_unlock(&fs->lock);
	if (!document)
		return -ENOMEM;
	ret = document_begin_alone(fs, document);
	if (!ret) {
		ret = settle_begin_leaving(fs, path, &settling);
		if (!ret)
			ret = delete_document(fs, document, path, &reason);
		if (!ret)
			settle_left(fs, &settling);
		settle_release(fs, &settling);
		change.changed = !ret;
		document_end_alone(fs, document, &change);
	}
	pthread_mutex_lock(&fs->lock);
	document_unref(fs, document);
	pthread_mutex_unlock(&fs->lock);
	return ops_explain(fs, path, ret, &reason);
}

static int unlink_scratch(struct fs *fs, struct node *parent, const char *name, struct slice path)
{
	struct scratch *tree;
	struct slice rel;
	struct node *node;
	int ret;

	(void)view_is_scratch(fs, path, &tree, &rel);
	ret = scratch_unlink(tree, rel, fs_outlives(fs, parent, name));
	if (ret)
		return ret;
	prune_later(fs, path);
	pthread_mutex_lock(&fs->lock);
	node = node_find(&fs->nodes, parent, slice_str(name));
	if (node) {
		node->state = NODE_OLD;
		node->removed = true;
		node_unhash(&fs->nodes, node);
	}
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct node *directory = node_of(fs, parent);
	struct buf path = BUF_INIT;
	struct scratch *tree;
	struct slice rel;
	int ret;

	pthread_rwlock_rdlock(&fs->moves);
	ret = fs_path(fs, directory, name, &path);
	if (!ret && view_is_read_only(buf_slice(&path)))
		ret = -EROFS;
	else if (!ret && view_is_reserved(buf_slice(&path)))
		ret = -EPERM;
	else if (!ret && view_is_scratch(fs, buf_slice(&path), &tree, &rel))
		ret = unlink_scratch(fs, directory, name, buf_slice(&path));
	else if (!ret)
		ret = unlink_document(fs, directory, name, buf_slice(&path));
	pthread_rwlock_unlock(&fs->moves);
	buf_release(&path);
	fuse_reply_err(req, -ret);
}
