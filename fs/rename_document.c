/* SPDX-License-Identifier: MIT */
/* Renames by which a document, or an empty file on the way to one, stays what it is. */
#include "rename.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "path.h"
#include "settle.h"

void rename_forget_name(struct fs *fs, const struct side *side)
{
	struct node *node = node_find(&fs->nodes, side->parent, slice_str(side->name));

	if (!node)
		return;
	node->state = NODE_OLD;
	node_unhash(&fs->nodes, node);
}

void rename_replace(struct fs *fs, const struct side *side)
{
	struct node *node = node_find(&fs->nodes, side->parent, slice_str(side->name));

	if (node) {
		node->removed = true;
		if (node_kind(node) == NODE_DIRECTORY)
			document_kill_in(fs, node);
	}
	rename_forget_name(fs, side);
}

/* The node at from is from now on the one at to, and what stood at to is gone. */
void rename_move_node(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct node *node =
		node_find(&fs->nodes, renaming->from.parent, slice_str(renaming->from.name));

	rename_replace(fs, &renaming->to);
	if (!node) {
		/* The kernel has not been told what the old name is, and moves what it takes for that. */
		renaming->stale = true;
		return;
	}
	node->told = false;
	if (node_move(&fs->nodes, node, renaming->to.parent, slice_str(renaming->to.name))) {
		node->state = NODE_OLD; /* without memory: looked up anew */
		node_unhash(&fs->nodes, node);
		renaming->stale = true;
	}
}

/* Of two documents, in one order everywhere, so that two renames do not wait for each other. */
static int begin_both(struct renaming *renaming)
{
	struct document *first = renaming->from.document;
	struct document *second = renaming->to.document;
	int ret;

	if (first > second) {
		struct document *swap = first;

		first = second;
		second = swap;
	}
	ret = document_begin_alone(renaming->fs, first);
	if (ret)
		return ret;
	ret = document_begin_alone(renaming->fs, second);
	if (ret) {
		struct document_change nothing = {0};

		document_end_alone(renaming->fs, first, &nothing);
	}
	return ret;
}

/* With fs->lock held. */
static struct handle *nth_writer(const struct document *document, unsigned skip)
{
	struct handle *writer;

	for (writer = document->handles; writer; writer = writer->next)
		if (writer->draft && writer->writable && !skip--)
			break;
	return writer;
}

/* Judges the draft of one writer if it is the renamer's own, and changed. */
static int judge_writer(struct renaming *renaming, struct side *side, struct node *node,
	struct draft *draft)
{
	struct verdict verdict = {.final = false, .node = node};
	bool own;
	int ret;

	pthread_mutex_lock(&draft->lock);
	own = draft->dirty && !draft->only_truncated &&
	      (draft_opened_by(draft, renaming->thread) ||
		      draft_written_by(draft, renaming->thread));
	pthread_mutex_unlock(&draft->lock);
	if (!own)
		return 0;
	ret = document_judge_alone(renaming->fs, side->document, draft, &verdict);
	if (!ret)
		side->view.kind = VIEW_DOCUMENT;
	return ret;
}

/* Who renames what he has open and changed saves it: it is judged before it goes anywhere. */
int rename_judge_drafts(struct renaming *renaming, struct side *side)
{
	struct fs *fs = renaming->fs;
	unsigned n;
	int ret = 0;

	for (n = 0; !ret; n++) {
		struct handle *writer;
		struct draft *draft = NULL;
		struct node *node = NULL;

		pthread_mutex_lock(&fs->lock);
		writer = nth_writer(side->document, n);
		if (writer) {
			draft = draft_ref(writer->draft);
			node = writer->node;
			node_ref(node);
		}
		pthread_mutex_unlock(&fs->lock);
		if (!node)
			break;
		ret = judge_writer(renaming, side, node, draft);
		draft_unref(draft);
		pthread_mutex_lock(&fs->lock);
		node_unref(&fs->nodes, node);
		pthread_mutex_unlock(&fs->lock);
	}
	return ret;
}

static void follow_document(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;

	document_touch(fs, renaming->from.document);
	document_touch(fs, renaming->to.document);
	document_kill(fs, renaming->to.document);
	/* The kernel has moved whatever node it had, which need not be the one that is found. */
	renaming->stale = true;
	if (document_move(fs, renaming->from.document, renaming->to.parent,
		    slice_str(renaming->to.name)))
		document_kill(fs, renaming->from.document);
	rename_move_node(renaming);
}

static void give_name(struct fs *fs, struct node *node, const struct side *side)
{
	if (!node)
		return;
	if (node_move(&fs->nodes, node, side->parent, slice_str(side->name)))
		node->state = NODE_OLD; /* without memory: looked up anew */
	else
		node_hash(&fs->nodes, node);
}

/* As the kernel does with their inodes: each version goes where its document goes. */
static void swap_nodes(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct node *from =
		node_find(&fs->nodes, renaming->from.parent, slice_str(renaming->from.name));
	struct node *to = node_find(&fs->nodes, renaming->to.parent, slice_str(renaming->to.name));

	if (from)
		node_unhash(&fs->nodes, from);
	if (to)
		node_unhash(&fs->nodes, to);
	give_name(fs, from, &renaming->to);
	give_name(fs, to, &renaming->from);
}

static void follow_exchange(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct document *from = renaming->from.document;
	struct document *to = renaming->to.document;

	document_touch(fs, from);
	document_touch(fs, to);
	if (document_swap(fs, from, to)) {
		document_kill(fs, from); /* without memory nobody can follow */
		document_kill(fs, to);
	}
	swap_nodes(renaming);
}

/* Both changes are published in one instant. */
static void end_both(struct renaming *renaming, bool moved)
{
	struct fs *fs = renaming->fs;

	pthread_mutex_lock(&fs->lock);
	renaming->from.document->committing = false;
	renaming->to.document->committing = false;
	if (moved && (renaming->flags & RENAME_EXCHANGE))
		follow_exchange(renaming);
	else if (moved)
		follow_document(renaming);
	pthread_cond_broadcast(&fs->published);
	pthread_mutex_unlock(&fs->lock);
	pthread_mutex_unlock(&renaming->from.document->commit);
	pthread_mutex_unlock(&renaming->to.document->commit);
}

int rename_document(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct err reason = {0};
	struct buf before = BUF_INIT;
	unsigned flags = renaming->flags & RENAME_NOREPLACE ? MEMORY_NOREPLACE : 0;
	struct settling coming;
	struct settling leaving;
	int ret = rename_judge_drafts(renaming, &renaming->from);

	if (ret)
		return ret;
	ret = begin_both(renaming);
	if (ret)
		return ret;
	settle_begin_coming(fs, side_path(&renaming->to), &coming);
	ret = settle_begin_leaving(fs, side_path(&renaming->from), &leaving);
	if (!ret)
		ret = memory_rename(fs->memory, side_path(&renaming->from),
			side_path(&renaming->to), flags, &reason);
	if (!ret) {
		settle_came(fs, &coming);
		settle_left(fs, &leaving);
	}
	settle_release(fs, &leaving);
	settle_release(fs, &coming);
	end_both(renaming, !ret);
	if (!ret) {
		settle_drop_empty(fs, side_path(&renaming->to));
		if (!memory_read(fs->memory, side_path(&renaming->to), NULL, &before, NULL))
			refusals_saved(fs->refusals, side_path(&renaming->to), buf_slice(&before));
	}
	buf_release(&before);
	return ops_explain(fs, side_path(&renaming->to), ret, &reason);
}

int rename_exchange(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct err reason = {0};
	int ret = rename_judge_drafts(renaming, &renaming->from);

	if (!ret)
		ret = rename_judge_drafts(renaming, &renaming->to);
	if (ret)
		return ret;
	ret = begin_both(renaming);
	if (ret)
		return ret;
	ret = memory_rename(fs->memory, side_path(&renaming->from), side_path(&renaming->to),
		MEMORY_EXCHANGE, &reason);
	end_both(renaming, !ret);
	renaming->stale = true; /* each name is looked up anew */
	return ops_explain(fs, side_path(&renaming->to), ret, &reason);
}

/* Before the document is killed: drafts that others have open go where the file went. */
void rename_leave(struct renaming *renaming)
{
	struct document *document = renaming->from.document;
	struct slice path = side_path(&renaming->to);

	pthread_mutex_lock(&renaming->fs->lock);
	free(document->left_to);
	document->left_to = malloc(path.len + 1); /* without memory: discarded, as if unlinked */
	if (document->left_to) {
		memcpy(document->left_to, path.ptr, path.len);
		document->left_to[path.len] = '\0';
	}
	pthread_mutex_unlock(&renaming->fs->lock);
}

/* Moves the empty file itself; one that is open for its first save is not there as yet. */
static int move_empty_file(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct scratch *tree = &fs->trees[TREE_SCRATCH];
	const struct document *document = renaming->from.document;
	unsigned flags = renaming->flags & RENAME_NOREPLACE;
	struct stat st;

	if (scratch_stat(tree, side_path(&renaming->from), &st) == -ENOENT && document->created)
		return renaming->to.scratch ? scratch_write_whole(tree, side_path(&renaming->to),
						      slice_str(""), document->mode, NULL, false)
					    : 0;
	if (!flags && fs_outlives(fs, renaming->to.parent, renaming->to.name))
		flags = SCRATCH_STILL_OPEN;
	return scratch_rename(tree, side_path(&renaming->from), side_path(&renaming->to), flags);
}

/* A new file without content gets another name; where a document stands it would empty that. */
int rename_draft(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct err reason = {0};
	int ret = 0;

	if (!renaming->to.scratch && !renaming->to.found &&
		renaming->to.view.kind == VIEW_DOCUMENT) {
		err_set(&reason, -EBADMSG, "an empty file is no document");
		refusals_add(fs->refusals, side_path(&renaming->to), slice_str(""), &reason, NULL);
		return -EBADMSG;
	}
	if (!renaming->to.scratch)
		ret = memory_may_create(fs->memory, side_path(&renaming->to), &reason);
	if (!ret)
		ret = renaming->to.document ? begin_both(renaming)
					    : document_begin_alone(fs, renaming->from.document);
	if (ret)
		return ops_explain(fs, side_path(&renaming->to), ret, &reason);
	ret = move_empty_file(renaming);
	if (renaming->to.document) {
		end_both(renaming, !ret);
	} else {
		struct document_change change = {.changed = !ret, .kill = true};

		if (!ret)
			rename_leave(renaming);
		document_end_alone(fs, renaming->from.document, &change);
		pthread_mutex_lock(&fs->lock);
		if (!ret)
			rename_replace(fs, &renaming->to);
		pthread_mutex_unlock(&fs->lock);
		renaming->stale = true;
	}
	return ops_explain(fs, side_path(&renaming->to), ret, &reason);
}
