/* SPDX-License-Identifier: MIT */
/* Making a file and opening it, in one: a document, which is in no store before its first save, or a scratch file. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>

#include "descriptors.h"
#include "opening.h"
#include "path.h"

struct creation {
	struct node *parent;
	const char *name;
	struct slice path;
	bool scratch;         /* or a document */
	struct scratch *tree; /* where a scratch file is to be made, and at which path in it */
	struct slice rel;
	mode_t mode;
	int flags;
	pid_t thread;
	struct handle *handle;
	struct fuse_entry_param entry;
};

/* ---- documents ---- */

/* One that nobody has made before. */
static void begin_document(struct fs *fs, struct document *document, mode_t mode)
{
	document->created = true;
	document->mode = mode & SCRATCH_MODE;
	document->ino = memory_new_ino(fs->memory);
	clock_gettime(CLOCK_REALTIME, &document->made);
}

/* The writer's own node of it; there: what was found, or NULL. With fs->lock held; both with a reference. */
static int make_node(struct fs *fs, const struct creation *c, const struct view *there,
	struct document **made_document, struct node **made_node)
{
	struct document *document;
	struct node *node;
	int ret;

	(void)document_settled(fs, c->parent, slice_str(c->name));
	*made_document = document = document_get(fs, c->parent, slice_str(c->name));
	if (!document)
		return -ENOMEM;
	if (!there && document_is_seen(document) && (c->flags & O_EXCL))
		return -EEXIST;
	*made_node = node = node_new(&fs->nodes, c->parent, slice_str(c->name), NODE_DOCUMENT);
	if (!node)
		return -ENOMEM;
	if (!there && !document_is_seen(document))
		begin_document(fs, document, c->mode);
	node->state = NODE_WRITER;
	node->version = there ? there->version : 0;
	opening_note_empty(fs, document, node);
	node->ino = node->version ? there->st.st_ino : document->ino;
	ret = opening_give_draft(fs, c->handle, node, c->thread, false);
	handle_attach(fs, c->handle, node, document);
	return ret;
}

/* A document that nobody has saved yet, or a writer's own node of one that came meanwhile. */
static int create_document(struct fs *fs, struct creation *c)
{
	struct view view;
	struct err reason = {0};
	struct document *document = NULL;
	struct node *node = NULL;
	int found = view_find(fs, c->path, &view);
	int ret = found && found != -ENOENT ? found : 0;

	if (!ret && found)
		ret = ops_explain(fs, c->path, memory_may_create(fs->memory, c->path, &reason),
			&reason);
	if (!ret && !found && (c->flags & O_EXCL))
		ret = -EEXIST;
	if (ret)
		return ret;
	pthread_mutex_lock(&fs->lock);
	ret = make_node(fs, c, found ? NULL : &view, &document, &node);
	pthread_mutex_unlock(&fs->lock);
	if (!ret)
		ret = opening_load_base(fs, node, document, c->handle->draft,
			c->flags & O_TRUNC && !found);
	pthread_mutex_lock(&fs->lock);
	if (!ret) {
		node_look_up(node);
		c->entry.ino = ino_of(fs, node);
	}
	if (node)
		node_unref(&fs->nodes, node);
	document_unref(fs, document);
	pthread_mutex_unlock(&fs->lock);
	if (!ret)
		view_draft_stat(fs, c->handle->draft, c->handle->ino, &c->entry.attr);
	return ret;
}

/* ---- scratch ---- */

static int create_scratch(struct fs *fs, struct creation *c)
{
	int ret;

	if (descriptors_are_few())
		return -ENFILE;
	ret = scratch_openfile(c->tree, c->rel, (c->flags & (O_EXCL | O_APPEND)) | O_CREAT | O_RDWR,
		c->mode);
	if (ret < 0)
		return ret;
	c->handle->fd = ret;
	ret = c->flags & O_TRUNC ? scratch_empty(c->tree, c->handle->fd) : 0;
	if (!ret)
		ret = ops_enter_alone(fs, c->parent, slice_str(c->name), &c->entry);
	if (ret)
		return ret;
	ret = handle_attach_scratch(fs, c->handle, node_of(fs, c->entry.ino));
	if (ret) {
		pthread_mutex_lock(&fs->lock);
		node_forget(&fs->nodes, node_of(fs, c->entry.ino), 1);
		pthread_mutex_unlock(&fs->lock);
	}
	return ret;
}

/* ---- either ---- */

static int create(struct fs *fs, struct creation *c)
{
	c->scratch = view_is_scratch(fs, c->path, &c->tree, &c->rel);
	if (strlen(c->name) > PATH_NAME_MAX)
		return -ENAMETOOLONG;
	if (view_is_read_only(c->path))
		return -EROFS;
	if (view_is_reserved(c->path))
		return -EPERM;
	c->handle = handle_new(c->scratch ? HANDLE_SCRATCH : HANDLE_DOCUMENT, c->flags);
	if (!c->handle)
		return -ENOMEM;
	return c->scratch ? create_scratch(fs, c) : create_document(fs, c);
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct creation c = {.parent = node_of(fs, parent),
		.name = name,
		.mode = mode,
		.flags = fi->flags,
		.thread = thread_of(req)};
	struct buf path = BUF_INIT;
	int ret;

	pthread_rwlock_rdlock(&fs->moves);
	ret = fs_path(fs, c.parent, name, &path);
	c.path = buf_slice(&path);
	if (!ret)
		ret = create(fs, &c);
	pthread_rwlock_unlock(&fs->moves);
	buf_release(&path);
	fi->fh = (uintptr_t)c.handle;
	fi->direct_io = !c.scratch;
	if (!c.scratch)
		c.entry.attr_timeout = OPS_TIMEOUT_CREATED_S;
	if (ret) {
		if (c.handle)
			ops_close(fs, c.handle);
		fuse_reply_err(req, -ret);
	} else if (fuse_reply_create(req, &c.entry, fi)) {
		ops_close(fs, c.handle);
		pthread_mutex_lock(&fs->lock);
		node_forget(&fs->nodes, node_of(fs, c.entry.ino), 1);
		pthread_mutex_unlock(&fs->lock);
	}
}
