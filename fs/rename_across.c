/* SPDX-License-Identifier: MIT */
/* Renames between documents and scratch, of scratch files, and of directories. */
#include "rename.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "path.h"
#include "settle.h"

/* With fs->lock held: whoever has the node keeps it, and no name leads to it; side is where it is said to be. */
static void leave_table(struct fs *fs, struct node *node, const struct side *side)
{
	node->state = NODE_OLD;
	node_unhash(&fs->nodes, node);
	(void)node_move(&fs->nodes, node, side->parent, slice_str(side->name));
}

/*
 * With fs->lock held: who has the scratch file open still has it when it was saved, as a file that has left its name. The
 * kernel moves its inode to the new one.
 */
static void leave_name(struct renaming *renaming, const struct memory_stat *saved)
{
	struct fs *fs = renaming->fs;
	struct node *node =
		node_find(&fs->nodes, renaming->from.parent, slice_str(renaming->from.name));

	if (!node)
		return;
	node->ino = saved->ino;
	leave_table(fs, node, &renaming->to);
}

/* What was saved is there under both names where this fails. */
static int remove_source(struct renaming *renaming, const struct memory_stat *saved,
	struct err *reason)
{
	struct fs *fs = renaming->fs;
	struct side *from = &renaming->from;
	int ret = settle_secure(fs, from->rel);

	if (!ret)
		ret = scratch_unlink(from->tree, from->rel,
			fs_outlives(fs, from->parent, from->name));
	if (ret) {
		renaming->stale = renaming->stale_source = true; /* the kernel moves nothing */
		return err_set(reason, ret, "saved, but the old name can't be removed: %s",
			strerror(-ret));
	}
	pthread_mutex_lock(&fs->lock);
	leave_name(renaming, saved);
	pthread_mutex_unlock(&fs->lock);
	prune_later(fs, side_path(from));
	return 0;
}

/*
 * With fs->lock held: the inode of a scratch file that nobody has open, which the kernel moves to the new name, becomes
 * that of the version as which it was saved.
 */
static struct node *become_document(struct renaming *renaming, const struct memory_stat *saved)
{
	struct fs *fs = renaming->fs;
	struct node *node =
		node_find(&fs->nodes, renaming->from.parent, slice_str(renaming->from.name));

	if (!node || node_kind(node) != NODE_SCRATCH || node->handles)
		return NULL;
	rename_forget_name(fs, &renaming->to);
	if (node_move(&fs->nodes, node, renaming->to.parent, slice_str(renaming->to.name)))
		return NULL;
	node_set_kind(node, NODE_DOCUMENT, 0);
	node->ino = saved->ino;
	node->version = saved->version;
	node->counted = false;
	node->cold = true;
	return node;
}

/*
 * The kernel moves nothing, and has the inode at the old name until it is told: it would take both names for those of one
 * file, and a rename of one to the other for done.
 */
static void come_back(struct renaming *renaming, struct node *node)
{
	struct fs *fs = renaming->fs;

	pthread_mutex_lock(&fs->lock);
	leave_table(fs, node, &renaming->from);
	pthread_mutex_unlock(&fs->lock);
}

static int save_scratch(struct renaming *renaming, const struct buf *bytes, const struct stat *st,
	struct err *reason)
{
	struct fs *fs = renaming->fs;
	struct memory_attributes attributes = {
		.has_mode = true,
		.has_mtime = true,
		.mode = st->st_mode & SCRATCH_MODE,
		.mtime = st->st_mtim,
	};
	struct document_change change = {.kill = true}; /* with drafts of what is replaced */
	struct memory_stat saved;
	struct settling settling;
	int ret = document_begin_alone(fs, renaming->to.document);

	if (ret)
		return ret;
	settle_begin_coming(fs, side_path(&renaming->to), &settling);
	ret = memory_put(fs->memory, side_path(&renaming->to), buf_slice(bytes), &attributes,
		&saved, NULL, reason);
	change.changed = !ret;
	if (!ret) {
		pthread_mutex_lock(&fs->lock);
		change.keep = become_document(renaming, &saved);
		pthread_mutex_unlock(&fs->lock);
	}
	/* with what it was told of the scratch file, also by who is about to be answered */
	if (change.keep)
		(void)fuse_lowlevel_notify_inval_inode(fs->session, ino_of(fs, change.keep), -1, 0);
	document_end_alone(fs, renaming->to.document, &change);
	if (ret) {
		settle_release(fs, &settling);
		return ret;
	}
	renaming->stale = !change.keep;
	refusals_saved(fs->refusals, side_path(&renaming->to), buf_slice(bytes));
	settle_drop_empty(fs, side_path(&renaming->to));
	ret = remove_source(renaming, &saved, reason);
	if (ret && change.keep)
		come_back(renaming, change.keep);
	settle_came(fs, &settling);
	settle_release(fs, &settling);
	return ret;
}

int rename_save_scratch(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct buf bytes = BUF_INIT;
	struct buf committed = BUF_INIT;
	struct err reason = {0};
	struct stat st;
	int ret;

	if ((renaming->flags & RENAME_NOREPLACE) && !renaming->to.found)
		return -EEXIST;
	ret = scratch_read_whole(renaming->from.tree, renaming->from.rel,
		fs->options->doc_max_bytes, &bytes, &st);
	if (!ret && !bytes.len && (renaming->to.found || renaming->to.view.kind == VIEW_DRAFT)) {
		/* An empty file gets a document's name: it is a draft, as if it had been touched there. */
		ret = memory_may_create(fs->memory, side_path(&renaming->to), &reason);
		if (!ret)
			ret = scratch_rename(renaming->from.tree, renaming->from.rel,
				side_path(&renaming->to), 0);
		pthread_mutex_lock(&fs->lock);
		if (!ret)
			rename_forget_name(fs, &renaming->from);
		pthread_mutex_unlock(&fs->lock);
		renaming->stale = true;
		buf_release(&bytes);
		return ops_explain(fs, side_path(&renaming->to), ret, &reason);
	}
	if (!ret)
		ret = save_scratch(renaming, &bytes, &st, &reason);
	if (ret == -EBADMSG) {
		bool has =
			!memory_read(fs->memory, side_path(&renaming->to), NULL, &committed, NULL);
		struct hash128 hash = hash128(committed.ptr, committed.len);

		refusals_add(fs->refusals, side_path(&renaming->to), buf_slice(&bytes), &reason,
			has ? &hash : NULL);
	} else if (ret) {
		ops_explain(fs, side_path(&renaming->to), ret, &reason);
	}
	buf_release(&committed);
	buf_release(&bytes);
	return ret;
}

/*
 * Durably, name and all: it is soon the only copy, and the deletion may be on disk before what is told to the file
 * system now. What stood there is gone, also where the document can't be deleted then.
 */
static int write_out(struct renaming *renaming, struct slice bytes, const struct memory_stat *st)
{
	struct fs *fs = renaming->fs;
	int ret = scratch_write_whole(renaming->to.tree, renaming->to.rel, bytes, st->mode,
		&st->mtime, true);

	if (ret)
		return ret;
	pthread_mutex_lock(&fs->lock);
	rename_replace(fs, &renaming->to);
	pthread_mutex_unlock(&fs->lock);
	renaming->stale = true;
	return scratch_sync_name(renaming->to.tree, renaming->to.rel);
}

int rename_to_scratch(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct buf bytes = BUF_INIT;
	struct err reason = {0};
	struct settling leaving = {0};
	struct memory_stat st;
	struct document_change change = {.kill = true};
	int ret = rename_judge_drafts(renaming, &renaming->from);

	if (ret)
		return ret;
	if ((renaming->flags & RENAME_NOREPLACE) && !renaming->to.found)
		return -EEXIST;
	ret = document_begin_alone(fs, renaming->from.document);
	if (ret)
		return ret;
	ret = memory_read(fs->memory, side_path(&renaming->from), &st, &bytes, &reason);
	if (!ret)
		ret = write_out(renaming, buf_slice(&bytes), &st);
	if (!ret)
		ret = settle_begin_leaving(fs, side_path(&renaming->from), &leaving);
	if (!ret)
		ret = memory_delete(fs->memory, side_path(&renaming->from), &reason);
	if (!ret)
		settle_left(fs, &leaving);
	settle_release(fs, &leaving);
	if (!ret)
		rename_leave(renaming);
	change.changed = !ret;
	document_end_alone(fs, renaming->from.document, &change);
	if (!ret)
		refusals_left(fs->refusals, side_path(&renaming->from), buf_slice(&bytes));
	buf_release(&bytes);
	return ops_explain(fs, side_path(&renaming->to), ret, &reason);
}

int rename_scratch(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	unsigned still_open = 0;
	int ret;

	if (renaming->from.tree != renaming->to.tree)
		return -EXDEV;
	if (!renaming->flags && fs_outlives(fs, renaming->to.parent, renaming->to.name))
		still_open = SCRATCH_STILL_OPEN;
	ret = scratch_rename(renaming->from.tree, renaming->from.rel, renaming->to.rel,
		renaming->flags | still_open);
	if (ret)
		return ret;
	prune_later(fs, side_path(&renaming->from));
	pthread_mutex_lock(&fs->lock);
	if (renaming->flags & RENAME_EXCHANGE) {
		rename_forget_name(fs, &renaming->from);
		rename_forget_name(fs, &renaming->to);
		renaming->stale = true;
	} else {
		rename_move_node(renaming);
	}
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

static bool in_dot(struct slice path)
{
	size_t at = path.len;

	while (at && path.ptr[at - 1] != '/')
		at--;
	return view_below_dot(path) || (at < path.len && path.ptr[at] == '.');
}

/* Before anything moves: may it go there? */
static int check_directory(struct renaming *renaming, struct err *reason)
{
	const struct side *to = &renaming->to;

	if (!to->found && to->view.kind != VIEW_DIRECTORY)
		return -ENOTDIR;
	if (!to->found && (renaming->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (slice_ends(side_path(to), SLICE_LITERAL(".json")) && !view_below_dot(side_path(to)))
		return err_set(reason, -EINVAL, "a directory's name can't end in .json");
	/* Below a dot directory *.json are scratch files, elsewhere documents: mv copies. */
	if (in_dot(side_path(&renaming->from)) != in_dot(side_path(to)))
		return -EXDEV;
	if (!to->found && to->view.in_scratch)
		return scratch_is_empty(&renaming->fs->trees[TREE_SCRATCH], side_path(to));
	return 0;
}

static int move_keys(struct renaming *renaming, struct err *reason)
{
	struct fs *fs = renaming->fs;
	struct slice from = side_path(&renaming->from);
	struct slice to = side_path(&renaming->to);
	struct settling coming;
	struct settling leaving;
	int ret;

	settle_begin_coming(fs, to, &coming);
	ret = settle_begin_leaving(fs, from, &leaving);
	if (!ret)
		ret = memory_rename_directory(fs->memory, from, to, reason);
	if (!ret) {
		settle_came(fs, &coming);
		settle_left(fs, &leaving);
	}
	settle_release(fs, &leaving);
	settle_release(fs, &coming);
	return ret == -EINVAL ? -EXDEV
			      : ret; /* no key can be there: mv copies what can be copied */
}

/* What of it is in the memory; of what is replaced, the key of an empty collection. */
static int move_in_memory(struct renaming *renaming, struct err *reason)
{
	const struct side *to = &renaming->to;

	if (renaming->from.view.in_memory)
		return move_keys(renaming, reason);
	if (!to->found && to->view.in_memory)
		return memory_remove_directory(renaming->fs->memory, side_path(to), reason);
	return 0;
}

/* What of a directory is in scratch moves, which can be undone, then what is in the memory. */
int rename_directory(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct scratch *tree = &fs->trees[TREE_SCRATCH];
	struct slice from = side_path(&renaming->from);
	struct slice to = side_path(&renaming->to);
	struct err reason = {0};
	bool undo = false;
	int ret = check_directory(renaming, &reason);

	if (!ret && renaming->from.view.in_scratch) {
		ret = scratch_rename(tree, from, to, 0);
		undo = !ret;
		memory_barrier(fs->memory);
	}
	if (!ret)
		ret = move_in_memory(renaming, &reason);
	if (ret && undo) {
		(void)scratch_rename(tree, to, from, 0);
		if (renaming->to.view.in_scratch)
			(void)scratch_keep_directory(tree, to);
	}
	if (ret)
		return ops_explain(fs, to, ret, &reason);
	pthread_mutex_lock(&fs->lock);
	rename_move_node(renaming);
	pthread_mutex_unlock(&fs->lock);
	return 0;
}
