/* SPDX-License-Identifier: MIT */
/* Names and attributes: lookup, forget, getattr, statfs, extended attributes. */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "control.h"
#include "path.h"
#include "stores.h"

enum { TIMEOUT_DIRECTORY_S = 1 };

int ops_explain(struct fs *fs, struct slice path, int ret, const struct err *reason)
{
	char text[256];

	if (ret && reason->text[0])
		refusals_log(fs->refusals, path, err_describe(reason, text, sizeof(text)));
	return ret;
}

/* ---- lookup ---- */

static void set_timeouts(const struct view *view, struct slice path, struct fuse_entry_param *entry)
{
	if (stores_have(path)) {
		entry->entry_timeout = stores_entry_timeout_s(path, view);
		return;
	}
	switch (view->kind) {
	case VIEW_DOCUMENT:
		entry->entry_timeout = entry->attr_timeout = VIEW_LONG_S;
		break;
	case VIEW_DIRECTORY:
		entry->entry_timeout = VIEW_LONG_S;
		entry->attr_timeout = TIMEOUT_DIRECTORY_S;
		break;
	case VIEW_SCRATCH:
		/* One that may be renamed to a document's name: its entry would outlive the rename. */
		entry->entry_timeout =
			view_below_dot(path) && !view_is_read_only(path) ? VIEW_LONG_S : 0;
		entry->attr_timeout = view_is_read_only(path) ? 0 : VIEW_LONG_S;
		break;
	case VIEW_DRAFT:
	case VIEW_CONTROL:
	case VIEW_STORE:
		break;
	}
}

static enum node_kind node_kind_of(const struct view *view)
{
	switch (view->kind) {
	case VIEW_DIRECTORY:
		return NODE_DIRECTORY;
	case VIEW_SCRATCH:
		return NODE_SCRATCH;
	case VIEW_CONTROL:
		return NODE_CONTROL;
	case VIEW_STORE:
		return NODE_STORE;
	case VIEW_DOCUMENT:
	case VIEW_DRAFT:
		break;
	}
	return NODE_DOCUMENT;
}

/* With fs->lock held: the node that everyone gets for what view found. One reference for the caller. */
static struct node *current_node(struct fs *fs, struct node *parent, struct slice name,
	const struct view *view)
{
	struct node *node = node_find(&fs->nodes, parent, name);

	if (node && node->kind == node_kind_of(view) && node->version == view->version &&
		!(node->kind == NODE_CONTROL && node->handles)) {
		node_ref(node);
		return node;
	}
	if (node) {
		node->state = NODE_OLD;
		node_unhash(&fs->nodes, node);
	}
	node = node_new(&fs->nodes, parent, name, node_kind_of(view));
	if (!node)
		return NULL;
	node->version = view->version;
	node->ino = view->st.st_ino;
	node->control = (uint8_t)view->control;
	node_hash(&fs->nodes, node);
	return node;
}

/* With fs->lock held: the node of a writer who was sent back to look the name up; one reference. */
static struct node *own_node(struct fs *fs, struct node *parent, struct slice name,
	const struct expectation *expectation, const struct view *view)
{
	struct node *node = expectation->own;

	if (node) {
		node_ref(node);
		return node;
	}
	node = node_new(&fs->nodes, parent, name, NODE_DOCUMENT);
	if (!node)
		return NULL;
	node->state = NODE_WRITER;
	node->version = view->version;
	node->ino = view->st.st_ino;
	return node;
}

/* With fs->lock held. */
static int enter_found(struct fs *fs, struct node *parent, struct slice name, pid_t thread,
	struct slice path, int found, struct view *view, struct fuse_entry_param *entry)
{
	struct document *document = document_find(fs, parent, name);
	struct expectation *expectation =
		thread ? expectation_of_name(fs, thread, parent, name) : NULL;
	struct node *node;

	if (found == -ENOENT && document && document->created) {
		view->kind = VIEW_DRAFT;
		view_empty_stat(fs, document->ino, document->mode, document->made, &view->st);
	} else if (found) {
		if (expectation)
			expectation_drop(fs, expectation);
		return found;
	}
	set_timeouts(view, path, entry);
	if (expectation && expectation->write && node_kind_of(view) == NODE_DOCUMENT) {
		node = own_node(fs, parent, name, expectation, view);
		entry->entry_timeout = entry->attr_timeout = 0;
	} else {
		node = current_node(fs, parent, name, view);
	}
	if (!node)
		return -ENOMEM;
	if (expectation)
		expectation_give(fs, expectation, node);
	node->lookups++;
	entry->ino = ino_of(fs, node);
	entry->attr = view->st;
	if (view->kind == VIEW_DRAFT && node->ino)
		entry->attr.st_ino = node->ino;
	node_unref(&fs->nodes, node);
	return 0;
}

/* With no lock held, as what it shows takes some. */
static int enter_control(struct fs *fs, struct fuse_entry_param *entry)
{
	struct node *node = node_of(fs, entry->ino);
	int ret = control_enter(fs, node, &entry->attr);

	if (!ret)
		return 0;
	pthread_mutex_lock(&fs->lock);
	node_forget(&fs->nodes, node, 1);
	pthread_mutex_unlock(&fs->lock);
	return ret;
}

int ops_enter(struct fs *fs, struct node *parent, struct slice name, pid_t thread,
	struct fuse_entry_param *entry)
{
	struct buf path = BUF_INIT;
	struct view view;
	bool again;
	int ret;

	if (name.len > PATH_NAME_MAX)
		return -ENAMETOOLONG;
	pthread_rwlock_rdlock(&fs->moves);
	pthread_mutex_lock(&fs->lock);
	do {
		/* What was found is true only if no commit came between; its node would be a lie. */
		uint32_t changes = document_settled(fs, parent, name);
		int found;

		buf_reset(&path);
		ret = node_path(parent, name, &path);
		pthread_mutex_unlock(&fs->lock);
		found = ret ? ret : view_find(fs, buf_slice(&path), &view);
		*entry = (struct fuse_entry_param){0};
		pthread_mutex_lock(&fs->lock);
		again = document_settled(fs, parent, name) != changes;
		if (!again)
			ret = enter_found(fs, parent, name, thread, buf_slice(&path), found, &view,
				entry);
	} while (again);
	pthread_mutex_unlock(&fs->lock);
	pthread_rwlock_unlock(&fs->moves);
	buf_release(&path);
	if (!ret && view.kind == VIEW_CONTROL)
		ret = enter_control(fs, entry);
	return ret;
}

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	int ret = ops_enter(fs, node_of(fs, parent), slice_str(name), thread_of(req), &entry);

	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_entry(req, &entry);
}

void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	struct fs *fs = fs_of(req);

	if (ino != FUSE_ROOT_ID) {
		pthread_mutex_lock(&fs->lock);
		node_forget(&fs->nodes, node_of(fs, ino), lookups);
		pthread_mutex_unlock(&fs->lock);
	}
	fuse_reply_none(req);
}

void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct fs *fs = fs_of(req);
	size_t i;

	pthread_mutex_lock(&fs->lock);
	for (i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			node_forget(&fs->nodes, node_of(fs, forgets[i].ino), forgets[i].nlookup);
	pthread_mutex_unlock(&fs->lock);
	fuse_reply_none(req);
}

/* ---- getattr ---- */

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

static int document_stat(struct fs *fs, const struct node *node, const struct handle *handle,
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
	return ret;
}

static int scratch_node_stat(struct fs *fs, const struct node *node, const struct handle *handle,
	struct stat *st)
{
	bool own = handle && handle->fd >= 0;
	struct stat found;
	struct node_look look;
	uint64_t version;
	int ret;
	int fd;

	/* Of one that has left its name, only who has it open can tell. */
	node_look(fs, node, &look);
	if (!own && look.state != NODE_OLD)
		return committed_stat(fs, node, st, &version);
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

int ops_stat(struct fs *fs, const struct node *node, const struct handle *handle, pid_t thread,
	struct stat *st, double *timeout)
{
	uint64_t version;
	int ret;

	*timeout = 0;
	switch ((enum node_kind)node->kind) {
	case NODE_DOCUMENT:
		return document_stat(fs, node, handle, thread, st, timeout);
	case NODE_SCRATCH:
		*timeout = VIEW_LONG_S;
		return scratch_node_stat(fs, node, handle, st);
	case NODE_DIRECTORY:
		*timeout = TIMEOUT_DIRECTORY_S;
		break;
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

/* ---- extended attributes ---- */

static const char XATTR_NAMES[] = "user.ourofs.key\0user.ourofs.type\0user.ourofs.source";

static void reply_xattr(fuse_req_t req, struct slice value, size_t size)
{
	if (!size)
		fuse_reply_xattr(req, value.len);
	else if (size < value.len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value.ptr, value.len);
}

static int describe(struct fs *fs, const struct node *node, struct buf *key, const char **type,
	const char **source)
{
	struct buf path = BUF_INIT;
	int ret = node->kind == NODE_DOCUMENT || node->kind == NODE_DIRECTORY
			  ? fs_path(fs, node, NULL, &path)
			  : -ENODATA;

	if (!ret)
		ret = memory_describe(fs->memory, buf_slice(&path), key, type, source);
	buf_release(&path);
	return ret == -ENOENT || ret == -EINVAL ? -ENODATA : ret;
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs *fs = fs_of(req);
	struct buf key = BUF_INIT;
	const char *type = "", *source = "";
	int ret = -ENODATA;

	/* The kernel asks for security.capability before writes: that must be cheap. */
	if (!strncmp(name, "user.ourofs.", 12))
		ret = describe(fs, node_of(fs, ino), &key, &type, &source);
	if (ret)
		fuse_reply_err(req, -ret);
	else if (!strcmp(name, "user.ourofs.key"))
		reply_xattr(req, buf_slice(&key), size);
	else if (!strcmp(name, "user.ourofs.type"))
		reply_xattr(req, slice_str(type), size);
	else if (!strcmp(name, "user.ourofs.source"))
		reply_xattr(req, slice_str(source), size);
	else
		fuse_reply_err(req, ENODATA);
	buf_release(&key);
}

void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct fs *fs = fs_of(req);
	struct buf key = BUF_INIT;
	const char *type, *source;
	int ret = describe(fs, node_of(fs, ino), &key, &type, &source);

	buf_release(&key);
	if (ret == -ENODATA)
		reply_xattr(req, slice_str(""), size);
	else if (ret)
		fuse_reply_err(req, -ret);
	else
		reply_xattr(req, slice_of(XATTR_NAMES, sizeof(XATTR_NAMES)), size);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
	int flags)
{
	(void)ino;
	(void)name;
	(void)value;
	(void)size;
	(void)flags;
	fuse_reply_err(req, EOPNOTSUPP);
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	(void)ino;
	(void)name;
	fuse_reply_err(req, EOPNOTSUPP);
}
