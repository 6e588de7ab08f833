/* SPDX-License-Identifier: MIT */
#include "opening.h"

#include <errno.h>

int opening_give_draft(struct fs *fs, struct handle *handle, struct node *node, pid_t thread,
	bool take_over)
{
	if (!node->draft)
		node->draft = draft_new(thread, &fs->draft_room);
	if (!node->draft)
		return -ENOMEM;
	handle->draft = draft_ref(node->draft);
	handle->writable = true; /* O_RDONLY|O_TRUNC changes it, too */
	node->draft->handles++;
	if (node->state != NODE_WRITER)
		node->taken = true;
	node->told = false;
	if (take_over || node->state == NODE_CURRENT)
		node_unhash(&fs->nodes, node);
	node->state = NODE_WRITER;
	return 0;
}

/* With draft->lock held. */
static int fill(struct draft *draft, struct buf *bytes, const struct memory_stat *st)
{
	int ret = draft_fill(draft, bytes);

	if (ret)
		return ret;
	draft->mode = st->mode;
	draft->written = st->mtime;
	return 0;
}

static int begin_draft(struct draft *draft, struct buf *bytes, const struct memory_stat *st,
	bool truncate)
{
	int ret;

	pthread_mutex_lock(&draft->lock);
	ret = fill(draft, bytes, st);
	if (!ret && (truncate || !st->version)) /* a new file is of now */
		clock_gettime(CLOCK_REALTIME, &draft->written);
	if (!ret && truncate) {
		draft->dirty = true;
		draft->only_truncated = true;
		draft->judged = false;
	}
	pthread_mutex_unlock(&draft->lock);
	return ret;
}

/* A commit may have come since the node was found. */
static void set_version(struct fs *fs, struct node *node, uint64_t version)
{
	pthread_mutex_lock(&fs->lock);
	node->version = version;
	pthread_mutex_unlock(&fs->lock);
}

int opening_load_base(struct fs *fs, struct node *node, struct document *document,
	struct draft *draft, bool truncate)
{
	struct buf path = BUF_INIT;
	struct buf bytes = BUF_INIT;
	struct memory_stat st = {0};
	bool empty;
	int ret;

	pthread_mutex_lock(&fs->lock);
	ret = document_path(fs, document, &path);
	st.mode = document->mode;
	empty = !node->version;
	pthread_mutex_unlock(&fs->lock);
	if (!ret && truncate)
		ret = memory_stat(fs->memory, buf_slice(&path), &st);
	else if (!ret)
		ret = memory_read(fs->memory, buf_slice(&path), &st, &bytes, NULL);
	if (ret == -ENOENT && empty)
		ret = 0; /* an empty file that was never saved */
	buf_release(&path);
	if (ret) {
		buf_release(&bytes);
		return ret == -ENOENT ? -ESTALE : ret;
	}
	ret = begin_draft(draft, &bytes, &st, truncate);
	if (!ret)
		set_version(fs, node, st.version);
	return ret;
}

/* Where the document is, if it is anywhere. */
static bool is_anywhere(struct fs *fs, const struct node *node, struct buf *path)
{
	struct document *document;
	bool is;

	pthread_mutex_lock(&fs->lock);
	document = node_document(node);
	is = document && !document->dead && !document_path(fs, document, path);
	pthread_mutex_unlock(&fs->lock);
	return is;
}

void opening_catch_up(struct fs *fs, struct node *node, struct draft *draft)
{
	struct buf path = BUF_INIT;
	struct buf bytes = BUF_INIT;
	struct memory_stat st;
	bool filled = false;

	if (!atomic_load_explicit(&draft->outdated, memory_order_relaxed) ||
		!atomic_exchange(&draft->outdated, false))
		return;
	if (is_anywhere(fs, node, &path) &&
		!memory_read(fs->memory, buf_slice(&path), &st, &bytes, NULL)) {
		pthread_mutex_lock(&draft->lock);
		filled = !draft->dirty && !fill(draft, &bytes, &st);
		pthread_mutex_unlock(&draft->lock);
	}
	if (filled)
		set_version(fs, node, st.version);
	buf_release(&bytes);
	buf_release(&path);
}

void opening_note_empty(struct fs *fs, struct document *document, const struct node *node)
{
	struct buf path = BUF_INIT;
	struct stat st;

	if (node->version || document->created || document_path(fs, document, &path)) {
		buf_release(&path);
		return;
	}
	if (!scratch_stat(&fs->trees[TREE_SCRATCH], buf_slice(&path), &st)) {
		document->created = true;
		document->on_disk = true;
		document->mode = st.st_mode & SCRATCH_MODE;
		document->made = st.st_mtim;
		document->ino = scratch_get_number(&fs->trees[TREE_SCRATCH], buf_slice(&path));
		if (!document->ino)
			document->ino = memory_new_ino(fs->memory);
	}
	buf_release(&path);
}
