/* SPDX-License-Identifier: MIT */
/* Looks at both sides of a rename and does what they ask for. */
#include "rename.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "path.h"
#include "settle.h"

static int look(struct fs *fs, struct side *side)
{
	int ret = fs_path(fs, side->parent, side->name, &side->path);

	if (ret)
		return ret;
	if (strlen(side->name) > PATH_NAME_MAX)
		return -ENAMETOOLONG;
	if (view_is_read_only(side_path(side)))
		return -EROFS;
	if (view_is_reserved(side_path(side)))
		return -EPERM;
	side->scratch = view_is_scratch(fs, side_path(side), &side->tree, &side->rel);
	side->found = view_find(fs, side_path(side), &side->view);
	if (side->found && side->found != -ENOENT)
		return side->found;
	if (side->scratch)
		return 0;
	pthread_mutex_lock(&fs->lock);
	side->document = document_get(fs, side->parent, slice_str(side->name));
	if (side->document && side->found && document_is_seen(side->document)) {
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

/* Only two documents or two scratch files can change places in one step: rename(2) has EINVAL for the rest. */
static int exchange_both(struct renaming *renaming)
{
	const struct side *from = &renaming->from;
	const struct side *to = &renaming->to;

	if (from->view.kind != to->view.kind)
		return -EINVAL;
	if (from->view.kind == VIEW_SCRATCH)
		return rename_scratch(renaming);
	return from->view.kind == VIEW_DOCUMENT ? rename_exchange(renaming) : -EINVAL;
}

static int dispatch(struct renaming *renaming)
{
	const struct side *from = &renaming->from;
	const struct side *to = &renaming->to;
	bool exchange = renaming->flags & RENAME_EXCHANGE;

	if (from->found || (exchange && to->found))
		return -ENOENT;
	if (slice_equal(side_path(from), side_path(to)))
		return 0;
	if (exchange)
		return exchange_both(renaming);
	if (is_directory(from))
		return rename_directory(renaming);
	if (is_directory(to))
		return -EISDIR;
	if (from->scratch && to->scratch)
		return rename_scratch(renaming);
	if (from->scratch)
		return rename_save_scratch(renaming);
	if (from->view.kind == VIEW_DRAFT) {
		int ret = rename_judge_drafts(renaming, &renaming->from);

		if (ret)
			return ret;
		if (from->view.kind == VIEW_DRAFT)
			return rename_draft(renaming);
	}
	return to->scratch ? rename_to_scratch(renaming) : rename_document(renaming);
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

	if (alone) {
		pthread_rwlock_wrlock(&fs->moves);
		prune_now(fs); /* they would go along, and be taken for a user's */
	} else {
		pthread_rwlock_rdlock(&fs->moves);
	}
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

/*
 * The kernel has moved the inode of the old name to the new one. Where that is not its inode any
 * more, it is told so behind the reply (it holds the directories' locks until then); whoever
 * opens the stale one meanwhile is sent back by ESTALE.
 */
static void answer_stale(fuse_req_t req, const struct renaming *renaming, int ret)
{
	const struct notice_answer nothing = {.kind = NOTICE_NONE};
	struct fs *fs = renaming->fs;
	bool source = renaming->stale_source || (renaming->flags & RENAME_EXCHANGE);

	pthread_mutex_lock(&fs->lock);
	node_ref(renaming->to.parent);
	if (source)
		node_ref(renaming->from.parent);
	pthread_mutex_unlock(&fs->lock);
	fuse_reply_err(req, -ret);
	fs_tell_stale(fs, renaming->to.parent, slice_str(renaming->to.name), &nothing);
	if (source)
		fs_tell_stale(fs, renaming->from.parent, slice_str(renaming->from.name), &nothing);
}

static void count(struct fs *fs, bool begins)
{
	pthread_mutex_lock(&fs->lock);
	fs->renames += begins ? 1 : -1U;
	fs->renames_begun += begins;
	pthread_mutex_unlock(&fs->lock);
}

void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	const char *new_name, unsigned int flags)
{
	struct fs *fs = fs_of(req);
	struct renaming renaming;
	bool alone = false;
	int ret;

	count(fs, true);
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
	if (renaming.stale)
		answer_stale(req, &renaming, ret);
	else
		fuse_reply_err(req, -ret);
	count(fs, false);
}
