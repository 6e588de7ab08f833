/* SPDX-License-Identifier: MIT */
/* How a document's content changes: pin the old version, give the memory the new one, publish. */
#include <errno.h>

#include "state.h"
#include "settle.h"
#include "view.h"

static struct node *current_node(struct fs *fs, const struct document *document)
{
	return node_find(&fs->nodes, document->parent,
		slice_of(document->name, document->name_len));
}

struct version *document_pinned(struct fs *fs, const struct node *node)
{
	struct version *version = NULL;

	pthread_mutex_lock(&fs->lock);
	if (node->pinned)
		version = version_ref(node->pinned);
	pthread_mutex_unlock(&fs->lock);
	return version;
}

/* With fs->lock held: the node whose bytes someone may still read after the change, or NULL. */
static struct node *node_to_pin(struct fs *fs, const struct document *document)
{
	struct node *node = current_node(fs, document);

	if (!node || node_kind(node) != NODE_DOCUMENT || !node->handles || node->pinned ||
		!node->version)
		return NULL;
	node_ref(node);
	return node;
}

static int pin(struct fs *fs, struct node *node, struct slice path)
{
	struct version *version = version_new();
	int ret;

	if (!version)
		return -ENOMEM;
	ret = memory_read(fs->memory, path, &version->st, &version->bytes, NULL);
	pthread_mutex_lock(&fs->lock);
	if (!ret && version->st.version == node->version && !node->pinned) {
		node->pinned = version;
		version = NULL;
	}
	pthread_mutex_unlock(&fs->lock);
	version_unref(version);
	return ret == -ENOENT || ret == -EFBIG ? 0 : ret; /* nobody reads what can't be read */
}

int document_pin(struct fs *fs, struct document *document, struct node *node)
{
	struct buf path = BUF_INIT;
	int ret;

	pthread_mutex_lock(&fs->lock);
	ret = document_path(fs, document, &path);
	pthread_mutex_unlock(&fs->lock);
	if (!ret)
		ret = pin(fs, node, buf_slice(&path));
	buf_release(&path);
	return ret;
}

int document_begin(struct fs *fs, struct document *document)
{
	int ret;

	pthread_rwlock_rdlock(&fs->moves);
	ret = document_begin_alone(fs, document);
	if (ret)
		pthread_rwlock_unlock(&fs->moves);
	return ret;
}

int document_begin_alone(struct fs *fs, struct document *document)
{
	struct buf path = BUF_INIT;
	struct node *node;
	int ret;

	pthread_mutex_lock(&document->commit);
	pthread_mutex_lock(&fs->lock);
	document->committing = true; /* from here on OPEN waits, so nobody comes behind the pin */
	document->shown = current_node(fs, document) != NULL;
	node = node_to_pin(fs, document);
	ret = document_path(fs, document, &path);
	pthread_mutex_unlock(&fs->lock);
	if (!ret && node)
		ret = pin(fs, node, buf_slice(&path));
	buf_release(&path);
	pthread_mutex_lock(&fs->lock);
	node_unref(&fs->nodes, node);
	if (ret) {
		document->committing = false;
		pthread_cond_broadcast(&fs->published);
	}
	pthread_mutex_unlock(&fs->lock);
	if (ret)
		pthread_mutex_unlock(&document->commit);
	return ret;
}

void document_end(struct fs *fs, struct document *document, struct document_change *change)
{
	document_end_alone(fs, document, change);
	pthread_rwlock_unlock(&fs->moves);
}

void document_end_alone(struct fs *fs, struct document *document, struct document_change *change)
{
	struct node *node;

	pthread_mutex_lock(&fs->lock);
	node = current_node(fs, document);
	/* one that an adoption let go meanwhile is told of, but who knows when: not behind the answer */
	change->stale =
		change->changed &&
		(node ? node != change->keep && node_kind(node) == NODE_DOCUMENT : document->shown);
	if (change->stale && node) {
		node->state = NODE_OLD;
		node_unhash(&fs->nodes, node);
	}
	if (change->changed)
		document_touch(fs, document);
	if (change->changed && change->kill)
		document_kill(fs, document);
	document->committing = false;
	pthread_cond_broadcast(&fs->published);
	pthread_mutex_unlock(&fs->lock);
	pthread_mutex_unlock(&document->commit);
}

/* ---- judging ---- */

static void refuse(struct fs *fs, struct slice path, struct draft *draft, const struct err *reason)
{
	struct buf committed = BUF_INIT;
	struct hash128 hash = {0};
	bool has = !memory_read(fs->memory, path, NULL, &committed, NULL);

	if (has)
		hash = hash128(committed.ptr, committed.len);
	if (draft->refused)
		refusals_withdraw(fs->refusals, path); /* the same draft's last word counts */
	refusals_add(fs->refusals, path, buf_slice(&draft->bytes), reason, has ? &hash : NULL);
	buf_release(&committed);
	draft->judged = true;
	draft->refused = true;
}

static void attributes_of(const struct document *document, const struct draft *draft,
	struct memory_attributes *attributes)
{
	*attributes = draft->attributes;
	if (document->created) {
		attributes->ino = document->ino;
		if (!attributes->has_mode)
			attributes->mode = draft->mode;
		attributes->has_mode = true;
	}
	if (!attributes->has_mtime)
		attributes->mtime = draft->written;
	attributes->has_mtime = true;
}

/* draft->lock and document->commit are held. */
static int put(struct fs *fs, struct document *document, struct draft *draft, struct slice path,
	struct verdict *verdict)
{
	struct memory_attributes attributes;
	struct err reason = {0};
	int ret;

	attributes_of(document, draft, &attributes);
	ret = memory_put(fs->memory, path, buf_slice(&draft->bytes), &attributes, &verdict->st,
		NULL, &reason);
	if (ret == -EBADMSG && draft->cut) {
		reason = (struct err){0};
		ret = err_set(&reason, -EFBIG, "larger than doc_max, %zu bytes", draft->room->each);
	}
	verdict->truncated = ret == -EBADMSG && reason.truncated;
	if (ret) {
		refuse(fs, path, draft, &reason);
		return ret;
	}
	draft->dirty = false;
	draft->attributes = (struct memory_attributes){0};
	draft->mode = verdict->st.mode;
	draft->written = verdict->st.mtime; /* a writer's fstat goes on being the document's stat */
	if (draft->refused)
		refusals_withdraw(fs->refusals, path);
	else
		refusals_saved(fs->refusals, path, buf_slice(&draft->bytes));
	draft->refused = false;
	return 0;
}

/* The memory has the document: it is no empty draft any more. */
static void settled(struct fs *fs, struct document *document, struct slice path,
	struct verdict *verdict)
{
	fuse_ino_t directory = 0;
	bool on_disk;

	pthread_mutex_lock(&fs->lock);
	if (document->created)
		directory = ino_of(fs, document->parent);
	on_disk = document->on_disk;
	document->created = false;
	document->on_disk = false;
	if (verdict->node) {
		verdict->node->version = verdict->st.version;
		verdict->node->hidden = false;
	}
	pthread_mutex_unlock(&fs->lock);
	/* Its time is that of this commit; the kernel may have asked for it since CREATE. */
	if (directory)
		(void)fuse_lowlevel_notify_inval_inode(fs->session, directory, -1, 0);
	if (on_disk) {
		settle_drop_empty(fs, path);
		prune_later(fs, path);
	}
}

/*
 * Another file has come to a scratch file's path without the kernel's asking for it. What it was told of the one there
 * it asks for anew, and is sent to look the name up.
 */
static void tell_replaced(struct fs *fs, struct slice path)
{
	const struct notice_answer nothing = {.kind = NOTICE_NONE};
	struct buf name = BUF_INIT;
	struct node *parent = NULL;
	struct node *node;
	fuse_ino_t ino = 0;

	pthread_mutex_lock(&fs->lock);
	node = node_find_path(&fs->nodes, path);
	if (node && node_kind(node) == NODE_SCRATCH) {
		ino = ino_of(fs, node);
		parent = node->parent;
		node_ref(parent);
		buf_add_slice(&name, node_name(node));
		node->state = NODE_OLD;
		node_unhash(&fs->nodes, node);
	}
	pthread_mutex_unlock(&fs->lock);
	if (parent) {
		(void)fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
		fs_tell_stale(fs, parent, buf_slice(&name), &nothing);
	}
	buf_release(&name);
}

/* A draft of what has been unlinked or replaced: nobody can ever see it, unless it was moved aside. */
static int let_go(struct fs *fs, const struct document *document, struct draft *draft)
{
	struct scratch *tree = &fs->trees[TREE_SCRATCH];
	struct stat st;
	int ret = 0;

	if (document->left_to && draft->dirty &&
		!scratch_stat(tree, slice_str(document->left_to), &st)) {
		ret = scratch_write_whole(tree, slice_str(document->left_to),
			buf_slice(&draft->bytes), st.st_mode, &draft->written, true);
		if (!ret)
			tell_replaced(fs, slice_str(document->left_to));
	}
	draft->dirty = false;
	return ret;
}

int document_judge_alone(struct fs *fs, struct document *document, struct draft *draft,
	struct verdict *verdict)
{
	struct buf path = BUF_INIT;
	int ret = document_begin_alone(fs, document);
	struct document_change change;
	struct settling settling = {0};
	struct timespec directory_time;
	bool known;
	bool changed = false;
	bool dead;

	verdict->stale = false;
	verdict->truncated = false;
	if (ret)
		return ret;
	pthread_mutex_lock(&fs->lock);
	dead = document->dead;
	ret = document_path(fs, document, &path);
	pthread_mutex_unlock(&fs->lock);
	pthread_mutex_lock(&draft->lock);
	if (!ret && dead) {
		ret = let_go(fs, document, draft);
	} else if (!ret && document->created && !draft->bytes.len) {
		draft->dirty = false; /* nothing was there and nothing has come */
	} else if (!ret && draft->dirty && !(draft->judged && verdict->final)) {
		if (document->created)
			settle_begin_coming(fs, buf_slice(&path), &settling);
		known = document->on_disk &&
			settle_directory_time(fs, buf_slice(&path), &directory_time);
		ret = put(fs, document, draft, buf_slice(&path), verdict);
		changed = !ret;
		if (changed && known)
			settle_set_directory_time(fs, buf_slice(&path), &directory_time);
		if (changed)
			settle_came(fs, &settling);
		settle_release(fs, &settling);
	}
	pthread_mutex_unlock(&draft->lock);
	if (changed)
		settled(fs, document, buf_slice(&path), verdict);
	change = (struct document_change){.changed = changed, .keep = verdict->node};
	document_end_alone(fs, document, &change);
	verdict->stale = change.stale;
	buf_release(&path);
	return ret;
}

int document_judge(struct fs *fs, struct document *document, struct draft *draft,
	struct verdict *verdict)
{
	int ret;

	pthread_rwlock_rdlock(&fs->moves);
	ret = document_judge_alone(fs, document, draft, verdict);
	pthread_rwlock_unlock(&fs->moves);
	return ret;
}
