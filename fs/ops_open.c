/* SPDX-License-Identifier: MIT */
/* Opening: which node and which draft a handle gets. See document.h for the rules. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>

#include "control.h"
#include "descriptors.h"
#include "opening.h"
#include "stores.h"

static bool wants_to_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* ---- documents: with fs->lock held ---- */

enum admission { ADMIT_READER, ADMIT_WRITER, TAKE_OVER, REFUSE };

static enum admission admit_writer(const struct node *node, const struct document *document,
	const struct expectation *expectation, bool others_expected)
{
	if (expectation && !expectation->write)
		expectation = NULL;
	if (expectation && expectation->own == node)
		return ADMIT_WRITER; /* came back by the name, as told */
	if (expectation && expectation->refused == node && !expectation->looked_up)
		return ADMIT_WRITER; /* came back without a name: a magic link */
	if (node->state == NODE_CURRENT && !node->handles && !document->handles && !others_expected)
		return TAKE_OVER;
	return REFUSE;
}

static enum admission admit_reader(const struct node *node, const struct expectation *expectation)
{
	if (node->state == NODE_CURRENT)
		return ADMIT_READER;
	if (expectation && expectation->own == node && node->state == NODE_OLD)
		return ADMIT_READER; /* came back, and was overtaken again: the version was kept */
	if (expectation && expectation->refused == node && !expectation->looked_up &&
		(node->state == NODE_WRITER || node->pinned || !node->version))
		return ADMIT_READER; /* a magic link */
	return REFUSE;
}

/* Returns 0, or -ESTALE when the kernel has to look the name up again. With fs->lock held. */
struct admitted {
	bool fresh;     /* the draft is this handle's to begin */
	bool taken;     /* the kernel may give the node to others, too */
	bool contended; /* others have it open */
};

static int admit(struct fs *fs, struct node *node, struct handle *handle, bool write, pid_t thread,
	struct admitted *admitted)
{
	struct document *document;
	struct expectation *expectation;
	enum admission admission;
	bool expected;
	int ret = 0;

	document_settled_node(fs, node);
	/* Who comes through a magic link comes to the very document, whatever has its name now. */
	document = node_document(node);
	if (document)
		document->refs++;
	else
		document = document_get(fs, node->parent, node_name(node));
	if (!document)
		return -ENOMEM;
	expected = expectation_of_name(fs, 0, node->parent, node_name(node));
	expectation = expectation_of_node(fs, thread, node);
	if (write)
		admission = admit_writer(node, document, expectation, expected);
	else
		admission = admit_reader(node, expectation);
	admitted->fresh = !node->draft;
	if (admission == REFUSE)
		ret = expectation_add(fs, thread, document, node, write);
	else if (admission != ADMIT_READER)
		ret = opening_give_draft(fs, handle, node, thread, admission == TAKE_OVER);
	if (!ret && admission != REFUSE) {
		opening_note_empty(fs, document, node);
		if (!node->version && document->ino)
			node->ino = document->ino;
		handle_attach(fs, handle, node, document);
	}
	admitted->taken = node->taken;
	admitted->contended = node->handles > 1;
	if (expectation)
		expectation_drop(fs, expectation);
	document_unref(fs, document);
	return !ret && admission == REFUSE ? -ESTALE : ret;
}

/* Reading a draft through a magic link: the reader shares what the writer has. */
static void share_draft(struct fs *fs, struct handle *handle)
{
	pthread_mutex_lock(&fs->lock);
	if (handle->node->draft && handle->node->state == NODE_WRITER && !handle->node->taken)
		handle->draft = draft_ref(handle->node->draft);
	pthread_mutex_unlock(&fs->lock);
}

/* Sooner than a READ, which is SIGBUS to who has it mapped. */
static int check_hidden(struct fs *fs, struct node *node)
{
	struct buf path = BUF_INIT;
	struct buf bytes = BUF_INIT;
	bool hidden;
	int ret;

	pthread_mutex_lock(&fs->lock);
	hidden = node->hidden && node->state == NODE_CURRENT;
	pthread_mutex_unlock(&fs->lock);
	if (!hidden)
		return 0;
	ret = fs_path(fs, node, NULL, &path);
	if (!ret)
		ret = memory_read(fs->memory, buf_slice(&path), NULL, &bytes, NULL);
	buf_release(&path);
	buf_release(&bytes);
	return ret == -EFBIG ? ret : 0;
}

static int open_document(struct fs *fs, fuse_req_t req, struct node *node, struct handle *handle,
	struct fuse_file_info *fi)
{
	bool write = wants_to_write(fi->flags);
	struct admitted admitted;
	int ret = write ? 0 : check_hidden(fs, node);

	if (ret)
		return ret;
	pthread_mutex_lock(&fs->lock);
	ret = admit(fs, node, handle, write, thread_of(req), &admitted);
	if (!ret && !write) {
		fi->keep_cache = !node->cold && node->state != NODE_WRITER;
		node->cold = false;
	}
	pthread_mutex_unlock(&fs->lock);
	if (ret)
		return ret;
	if (!write) {
		fi->noflush = 1;
		share_draft(fs, handle);
		return 0;
	}
	fi->direct_io = 1;
	if (admitted.fresh && admitted.taken && admitted.contended)
		ret = document_pin(fs, handle->document, node); /* readers keep what they opened */
	if (admitted.fresh && !ret)
		ret = opening_load_base(fs, node, handle->document, handle->draft,
			fi->flags & O_TRUNC);
	else if (!ret && (fi->flags & O_TRUNC))
		ret = draft_truncate(handle->draft, thread_of(req), 0);
	/* After O_TRUNC the kernel itself asks for what it kept: until then it is what is committed. */
	if (!ret && admitted.taken && !(fi->flags & O_TRUNC))
		(void)fuse_lowlevel_notify_inval_inode(fs->session, ino_of(fs, node), -1, 0);
	return ret;
}

/* ---- scratch and control files ---- */

/*
 * It was saved as a document while it was open, and the kernel has yet to be told. Who comes by the name is sent back as
 * by any old version, so that what he is given is kept for him: the kernel tries only twice.
 */
static int send_to_document(struct fs *fs, struct node *node, bool write, pid_t thread)
{
	struct document *document;
	int ret;

	pthread_mutex_lock(&fs->lock);
	document = document_get(fs, node->parent, node_name(node));
	ret = document ? expectation_add(fs, thread, document, node, write) : -ENOMEM;
	document_unref(fs, document);
	pthread_mutex_unlock(&fs->lock);
	return ret ? ret : -ESTALE;
}

static int open_scratch(struct fs *fs, struct node *node, struct handle *handle, int flags,
	pid_t thread)
{
	struct buf path = BUF_INIT;
	struct scratch *tree;
	struct slice rel;
	struct node_look look;
	bool saved;
	int ret = fs_path(fs, node, NULL, &path);

	if (ret)
		return ret;
	node_look(fs, node, &look);
	draft_unref(look.draft); /* it may be a document by now */
	saved = !view_is_scratch(fs, buf_slice(&path), &tree, &rel);
	if (wants_to_write(flags) && view_is_read_only(buf_slice(&path)))
		ret = -EROFS;
	else if (descriptors_are_few())
		ret = -ENFILE;
	else if (look.removed)
		ret = fs_reopen(fs, node, flags & (O_ACCMODE | O_APPEND)); /* a magic link */
	else if (saved)
		ret = send_to_document(fs, node, wants_to_write(flags), thread);
	else if (look.state == NODE_OLD)
		ret = -ESTALE; /* renamed away: what has the name now? */
	else
		/* Writers read, too: the kernel fills up pages it was given in part. */
		ret = scratch_openfile(tree, rel,
			(flags & O_ACCMODE) == O_RDONLY ? O_RDONLY : (flags & O_APPEND) | O_RDWR,
			0);
	if (ret == -EACCES && (flags & O_ACCMODE) == O_WRONLY)
		ret = scratch_openfile(tree, rel, flags & (O_ACCMODE | O_APPEND), 0);
	buf_release(&path);
	if (ret < 0)
		return ret == -ENOENT ? -ESTALE : ret;
	handle->fd = ret;
	if ((flags & O_TRUNC) && (ret = scratch_ftruncate(tree, handle->fd, 0)))
		return ret;
	return handle_attach_scratch(fs, handle, node);
}

static int open_control(struct fs *fs, struct node *node, struct handle *handle,
	struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	return control_open(fs, node, handle);
}

/* As it is now, whatever comes. */
static int open_store(struct fs *fs, struct node *node, struct handle *handle,
	struct fuse_file_info *fi)
{
	struct buf path = BUF_INIT;
	int ret = wants_to_write(fi->flags) ? -EROFS : fs_path(fs, node, NULL, &path);

	if (!ret)
		handle->snapshot = version_new();
	if (!ret)
		ret = handle->snapshot ? stores_read(fs, buf_slice(&path), &handle->snapshot->bytes)
				       : -ENOMEM;
	buf_release(&path);
	if (ret)
		return ret == -ENOENT ? -ESTALE : ret;
	fi->direct_io = 1;
	pthread_mutex_lock(&fs->lock);
	handle_attach(fs, handle, node, NULL);
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

static enum handle_kind handle_kind_of(const struct node *node)
{
	switch (node_kind(node)) {
	case NODE_SCRATCH:
		return HANDLE_SCRATCH;
	case NODE_CONTROL:
	case NODE_STORE:
		return HANDLE_CONTROL;
	case NODE_DIRECTORY:
	case NODE_DOCUMENT:
		break;
	}
	return HANDLE_DOCUMENT;
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *node = node_of(fs, ino);
	struct handle *handle = handle_new(handle_kind_of(node), fi->flags);
	int ret = -ENOMEM;

	if (handle) {
		switch (handle->kind) {
		case HANDLE_SCRATCH:
			ret = open_scratch(fs, node, handle, fi->flags, thread_of(req));
			break;
		case HANDLE_CONTROL:
			ret = node_kind(node) == NODE_STORE ? open_store(fs, node, handle, fi)
							    : open_control(fs, node, handle, fi);
			break;
		case HANDLE_DOCUMENT:
		case HANDLE_DIRECTORY:
			ret = node_kind(node) == NODE_DIRECTORY
				      ? -EISDIR
				      : open_document(fs, req, node, handle, fi);
			break;
		}
	}
	fi->fh = (uintptr_t)handle;
	if (ret) {
		if (handle)
			ops_close(fs, handle);
		fuse_reply_err(req, -ret);
	} else if (fuse_reply_open(req, fi)) {
		ops_close(fs, handle); /* interrupted: no RELEASE will come */
	}
}
