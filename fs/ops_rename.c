/* SPDX-License-Identifier: MIT */
/*
 * rename(2) in all its combinations: documents are keys, scratch files are real files, and a file
 * that changes sides is saved (scratch to document) or written out before its deletion is committed
 * (document to scratch).
 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "path.h"
#include "settle.h"

struct side {
	struct node *parent;
	const char *name;
	struct buf path;
	struct view view;
	int found;    /* 0 or -ENOENT */
	bool scratch; /* by its spelling; directories are told by view */
	struct scratch *tree;
	struct slice rel;
	struct document *document; /* documents: referenced */
};

struct renaming {
	struct fs *fs;
	struct side from;
	struct side to;
	unsigned flags;
	pid_t thread;
	bool stale; /* the kernel moves an inode to the new name that is not the one for it */
};

static struct slice path_of(const struct side *side)
{
	return buf_slice(&side->path);
}

static int look(struct fs *fs, struct side *side)
{
	int ret = fs_path(fs, side->parent, side->name, &side->path);

	if (ret)
		return ret;
	if (strlen(side->name) > PATH_NAME_MAX)
		return -ENAMETOOLONG;
	if (view_is_read_only(path_of(side)))
		return -EROFS;
	if (view_is_reserved(path_of(side)))
		return -EPERM;
	side->scratch = view_is_scratch(fs, path_of(side), &side->tree, &side->rel);
	side->found = view_find(fs, path_of(side), &side->view);
	if (side->found && side->found != -ENOENT)
		return side->found;
	if (side->scratch)
		return 0;
	pthread_mutex_lock(&fs->lock);
	side->document = document_get(fs, side->parent, slice_str(side->name));
	if (side->document && side->found && side->document->created) {
		side->found = 0;
		side->view.kind = VIEW_DRAFT;
	}
	pthread_mutex_unlock(&fs->lock);
	return side->document ? 0 : -ENOMEM;
}

static bool is_directory(const struct side *side)
{
	return !side->found && side->view.kind == VIEW_DIRECTORY;
}

/* ---- the inode table follows ---- */

static void forget_name(struct fs *fs, const struct side *side)
{
	struct node *node = node_find(&fs->nodes, side->parent, slice_str(side->name));

	if (!node)
		return;
	node->state = NODE_OLD;
	node_unhash(&fs->nodes, node);
}

/* The node at from is from now on the one at to, and what stood at to is gone. */
static void move_node(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct node *node =
		node_find(&fs->nodes, renaming->from.parent, slice_str(renaming->from.name));

	forget_name(fs, &renaming->to);
	if (node &&
		node_move(&fs->nodes, node, renaming->to.parent, slice_str(renaming->to.name))) {
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

/* ---- document to document ---- */

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
	ret = document_judge(renaming->fs, side->document, draft, &verdict);
	if (!ret)
		side->view.kind = VIEW_DOCUMENT;
	return ret;
}

/* Who renames what he has open and changed saves it: it is judged before it goes anywhere. */
static int judge_open_drafts(struct renaming *renaming, struct side *side)
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
	move_node(renaming);
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

static int rename_document(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct err reason = {0};
	struct buf before = BUF_INIT;
	unsigned flags = renaming->flags & RENAME_NOREPLACE ? MEMORY_NOREPLACE : 0;
	struct settling coming;
	struct settling leaving;
	int ret = judge_open_drafts(renaming, &renaming->from);

	if (ret)
		return ret;
	ret = begin_both(renaming);
	if (ret)
		return ret;
	settle_begin_coming(fs, path_of(&renaming->to), &coming);
	settle_begin_leaving(fs, path_of(&renaming->from), &leaving);
	ret = memory_rename(fs->memory, path_of(&renaming->from), path_of(&renaming->to), flags,
		&reason);
	if (!ret) {
		settle_came(fs, &coming);
		settle_left(fs, &leaving);
	}
	settle_release(fs, &leaving);
	settle_release(fs, &coming);
	end_both(renaming, !ret);
	if (!ret) {
		(void)scratch_unlink(&fs->trees[TREE_SCRATCH], path_of(&renaming->to), false);
		if (!memory_read(fs->memory, path_of(&renaming->to), NULL, &before, NULL))
			refusals_saved(fs->refusals, path_of(&renaming->to), buf_slice(&before));
	}
	buf_release(&before);
	return ops_explain(fs, path_of(&renaming->to), ret, &reason);
}

static int exchange_documents(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct err reason = {0};
	int ret = judge_open_drafts(renaming, &renaming->from);

	if (!ret)
		ret = judge_open_drafts(renaming, &renaming->to);
	if (ret)
		return ret;
	ret = begin_both(renaming);
	if (ret)
		return ret;
	ret = memory_rename(fs->memory, path_of(&renaming->from), path_of(&renaming->to),
		MEMORY_EXCHANGE, &reason);
	end_both(renaming, !ret);
	renaming->stale = true; /* each name is looked up anew */
	return ops_explain(fs, path_of(&renaming->to), ret, &reason);
}

/* Before the document is killed: drafts that others have open go where the file went. */
static void leave(struct renaming *renaming)
{
	struct document *document = renaming->from.document;
	struct slice path = path_of(&renaming->to);

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
	int ret = scratch_rename(tree, path_of(&renaming->from), path_of(&renaming->to),
		renaming->flags & RENAME_NOREPLACE);

	if (ret != -ENOENT || !renaming->from.document->created)
		return ret;
	if (!renaming->to.scratch)
		return 0;
	ret = scratch_openfile(tree, path_of(&renaming->to), O_WRONLY | O_CREAT,
		renaming->from.document->mode);
	if (ret < 0)
		return ret;
	close(ret);
	return 0;
}

/* A new file without content gets another name; where a document stands it would empty that. */
static int rename_draft(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct err reason = {0};
	int ret = 0;

	if (!renaming->to.scratch && !renaming->to.found &&
		renaming->to.view.kind == VIEW_DOCUMENT) {
		err_set(&reason, -EBADMSG, "an empty file is no document");
		refusals_add(fs->refusals, path_of(&renaming->to), slice_str(""), &reason, NULL);
		return -EBADMSG;
	}
	if (!renaming->to.scratch)
		ret = memory_may_create(fs->memory, path_of(&renaming->to), &reason);
	if (!ret)
		ret = renaming->to.document ? begin_both(renaming)
					    : document_begin_alone(fs, renaming->from.document);
	if (ret)
		return ops_explain(fs, path_of(&renaming->to), ret, &reason);
	ret = move_empty_file(renaming);
	if (renaming->to.document) {
		end_both(renaming, !ret);
	} else {
		struct document_change change = {.changed = !ret, .kill = true};

		if (!ret)
			leave(renaming);
		document_end_alone(fs, renaming->from.document, &change);
		renaming->stale = true;
	}
	return ops_explain(fs, path_of(&renaming->to), ret, &reason);
}

/* ---- across the two sides ---- */

static int save_scratch(struct renaming *renaming, const struct buf *bytes, const struct stat *st,
	struct err *reason)
{
	struct fs *fs = renaming->fs;
	struct memory_attributes attributes = {
		.has_mode = true,
		.has_mtime = true,
		.mode = st->st_mode & 07777,
		.mtime = st->st_mtim,
	};
	struct document_change change = {.kill = true}; /* with drafts of what is replaced */
	struct settling settling;
	int ret = document_begin_alone(fs, renaming->to.document);

	if (ret)
		return ret;
	settle_begin_coming(fs, path_of(&renaming->to), &settling);
	ret = memory_put(fs->memory, path_of(&renaming->to), buf_slice(bytes), &attributes, NULL,
		NULL, reason);
	change.changed = !ret;
	document_end_alone(fs, renaming->to.document, &change);
	if (ret) {
		settle_release(fs, &settling);
		return ret;
	}
	pthread_mutex_lock(&fs->lock);
	forget_name(fs, &renaming->from);
	pthread_mutex_unlock(&fs->lock);
	renaming->stale = true;
	(void)scratch_unlink(&fs->trees[TREE_SCRATCH], path_of(&renaming->to), false);
	(void)scratch_unlink(renaming->from.tree, renaming->from.rel,
		fs_outlives(fs, renaming->from.parent, renaming->from.name));
	view_prune(fs, path_of(&renaming->from));
	settle_came(fs, &settling);
	settle_release(fs, &settling);
	return 0;
}

static int scratch_to_document(struct renaming *renaming)
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
		ret = memory_may_create(fs->memory, path_of(&renaming->to), &reason);
		if (!ret)
			ret = scratch_rename(renaming->from.tree, renaming->from.rel,
				path_of(&renaming->to), 0);
		renaming->stale = true;
		buf_release(&bytes);
		return ops_explain(fs, path_of(&renaming->to), ret, &reason);
	}
	if (!ret)
		ret = save_scratch(renaming, &bytes, &st, &reason);
	if (!ret) {
		refusals_saved(fs->refusals, path_of(&renaming->to), buf_slice(&bytes));
	} else if (ret == -EBADMSG) {
		bool has = !memory_read(fs->memory, path_of(&renaming->to), NULL, &committed, NULL);
		struct hash128 hash = hash128(committed.ptr, committed.len);

		refusals_add(fs->refusals, path_of(&renaming->to), buf_slice(&bytes), &reason,
			has ? &hash : NULL);
	} else {
		ops_explain(fs, path_of(&renaming->to), ret, &reason);
	}
	buf_release(&committed);
	buf_release(&bytes);
	return ret;
}

static int document_to_scratch(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct buf bytes = BUF_INIT;
	struct err reason = {0};
	struct settling leaving;
	struct memory_stat st;
	struct document_change change = {.kill = true};
	int ret = judge_open_drafts(renaming, &renaming->from);

	if (ret)
		return ret;
	if ((renaming->flags & RENAME_NOREPLACE) && !renaming->to.found)
		return -EEXIST;
	ret = document_begin_alone(fs, renaming->from.document);
	if (ret)
		return ret;
	ret = memory_read(fs->memory, path_of(&renaming->from), &st, &bytes, &reason);
	if (!ret)
		ret = scratch_write_whole(renaming->to.tree, renaming->to.rel, buf_slice(&bytes),
			st.mode, &st.mtime);
	settle_begin_leaving(fs, path_of(&renaming->from), &leaving);
	if (!ret)
		ret = memory_delete(fs->memory, path_of(&renaming->from), &reason);
	if (!ret)
		settle_left(fs, &leaving);
	settle_release(fs, &leaving);
	if (!ret)
		leave(renaming);
	change.changed = !ret;
	document_end_alone(fs, renaming->from.document, &change);
	if (!ret) {
		refusals_left(fs->refusals, path_of(&renaming->from), buf_slice(&bytes));
		pthread_mutex_lock(&fs->lock);
		forget_name(fs, &renaming->to);
		pthread_mutex_unlock(&fs->lock);
		renaming->stale = true;
	}
	buf_release(&bytes);
	return ops_explain(fs, path_of(&renaming->to), ret, &reason);
}

static int rename_scratch(struct renaming *renaming)
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
	view_prune(fs, path_of(&renaming->from));
	pthread_mutex_lock(&fs->lock);
	if (renaming->flags & RENAME_EXCHANGE) {
		forget_name(fs, &renaming->from);
		forget_name(fs, &renaming->to);
		renaming->stale = true;
	} else {
		move_node(renaming);
	}
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

/* ---- directories ---- */

static bool in_dot(struct slice path)
{
	size_t at = path.len;

	while (at && path.ptr[at - 1] != '/')
		at--;
	return view_below_dot(path) || (at < path.len && path.ptr[at] == '.');
}

/* What of a directory is in scratch moves, which can be undone, then what is in the memory. */
static int rename_directory(struct renaming *renaming)
{
	struct fs *fs = renaming->fs;
	struct scratch *tree = &fs->trees[TREE_SCRATCH];
	struct err reason = {0};
	struct settling coming;
	struct settling leaving;
	bool undo = false;
	int ret = 0;

	if (!renaming->to.found && renaming->to.view.kind != VIEW_DIRECTORY)
		return -ENOTDIR;
	if (!renaming->to.found && (renaming->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (renaming->flags & RENAME_EXCHANGE)
		return -EINVAL;
	if (slice_ends(path_of(&renaming->to), SLICE_LITERAL(".json")) &&
		!view_below_dot(path_of(&renaming->to))) {
		err_set(&reason, -EINVAL, "a directory's name can't end in .json");
		return ops_explain(fs, path_of(&renaming->to), -EINVAL, &reason);
	}
	/* Below a dot directory *.json are scratch files, elsewhere documents: mv copies. */
	if (in_dot(path_of(&renaming->from)) != in_dot(path_of(&renaming->to)))
		return -EXDEV;
	if (!renaming->to.found && renaming->to.view.in_scratch)
		ret = scratch_is_empty(tree, path_of(&renaming->to));
	if (!ret && renaming->from.view.in_scratch) {
		ret = scratch_rename(tree, path_of(&renaming->from), path_of(&renaming->to), 0);
		undo = !ret;
	}
	if (!ret && !renaming->to.found && renaming->to.view.in_memory)
		ret = memory_remove_directory(fs->memory, path_of(&renaming->to), &reason);
	settle_begin_coming(fs, path_of(&renaming->to), &coming);
	settle_begin_leaving(fs, path_of(&renaming->from), &leaving);
	if (!ret && renaming->from.view.in_memory)
		ret = memory_rename_directory(fs->memory, path_of(&renaming->from),
			path_of(&renaming->to), &reason);
	if (!ret && renaming->from.view.in_memory) {
		settle_came(fs, &coming);
		settle_left(fs, &leaving);
	}
	settle_release(fs, &leaving);
	settle_release(fs, &coming);
	if (ret == -EINVAL)
		ret = -EXDEV; /* no key can be there: mv copies what can be copied */
	if (ret && undo) {
		(void)scratch_rename(tree, path_of(&renaming->to), path_of(&renaming->from), 0);
		if (renaming->to.view.in_scratch)
			(void)scratch_keep_directory(tree, path_of(&renaming->to));
	}
	if (ret)
		return ops_explain(fs, path_of(&renaming->to), ret, &reason);
	pthread_mutex_lock(&fs->lock);
	move_node(renaming);
	pthread_mutex_unlock(&fs->lock);
	return 0;
}

/* ---- which of them ---- */

static int dispatch(struct renaming *renaming)
{
	const struct side *from = &renaming->from;
	const struct side *to = &renaming->to;
	bool exchange = renaming->flags & RENAME_EXCHANGE;

	if (from->found || (exchange && to->found))
		return -ENOENT;
	if (slice_equal(path_of(from), path_of(to)))
		return 0;
	if (is_directory(from))
		return rename_directory(renaming);
	if (is_directory(to))
		return -EISDIR;
	if (from->scratch && to->scratch)
		return rename_scratch(renaming);
	if (exchange)
		return from->scratch || to->scratch || from->view.kind != VIEW_DOCUMENT ||
				       to->view.kind != VIEW_DOCUMENT
			       ? -EINVAL
			       : exchange_documents(renaming);
	if (from->scratch)
		return scratch_to_document(renaming);
	if (from->view.kind == VIEW_DRAFT) {
		int ret = judge_open_drafts(renaming, &renaming->from);

		if (ret)
			return ret;
		if (from->view.kind == VIEW_DRAFT)
			return rename_draft(renaming);
	}
	return to->scratch ? document_to_scratch(renaming) : rename_document(renaming);
}

static void drop_side(struct fs *fs, struct side *side)
{
	pthread_mutex_lock(&fs->lock);
	document_unref(fs, side->document);
	pthread_mutex_unlock(&fs->lock);
	buf_release(&side->path);
}

/*
 * Looks and does under fs->moves: alone for a directory, since that changes the paths of others.
 * Returns 1 when it has to be done the other way.
 */
static int run(struct renaming *renaming, bool alone)
{
	struct fs *fs = renaming->fs;
	int ret;

	if (alone)
		pthread_rwlock_wrlock(&fs->moves);
	else
		pthread_rwlock_rdlock(&fs->moves);
	ret = look(fs, &renaming->from);
	if (!ret)
		ret = look(fs, &renaming->to);
	if (!ret)
		ret = is_directory(&renaming->from) == alone ? dispatch(renaming) : 1;
	pthread_rwlock_unlock(&fs->moves);
	drop_side(fs, &renaming->from);
	drop_side(fs, &renaming->to);
	return ret;
}

void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	const char *new_name, unsigned int flags)
{
	struct fs *fs = fs_of(req);
	const struct notice_answer nothing = {.kind = NOTICE_NONE};
	struct renaming renaming;
	bool alone = false;
	int ret;

	do {
		renaming = (struct renaming){
			.fs = fs,
			.from = {.parent = node_of(fs, parent), .name = name},
			.to = {.parent = node_of(fs, new_parent), .name = new_name},
			.flags = flags,
			.thread = thread_of(req),
		};
		ret = flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)
			      ? -EINVAL
			      : run(&renaming, alone);
		alone = !alone;
	} while (ret == 1);
	fuse_reply_err(req, -ret);
	/*
	 * The kernel has moved the inode of the old name to the new one. Where that is not its inode any
	 * more, it is told so behind the reply (it holds the directories' locks until then); whoever
	 * opens the stale one meanwhile is sent back by ESTALE.
	 */
	if (renaming.stale) {
		notifier_entry(fs->notifier, new_parent, slice_str(new_name), &nothing);
		if (flags & RENAME_EXCHANGE)
			notifier_entry(fs->notifier, parent, slice_str(name), &nothing);
	}
}
