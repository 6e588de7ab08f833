/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_RENAME_H
#define OUROFS_RENAME_H

#include "ops.h"

/*
 * rename(2) in all its combinations: documents are keys, scratch files are real files, and a file
 * that changes sides is saved (scratch to document) or written out before its deletion is committed
 * (document to scratch). ops_rename.c looks at both sides and dispatches, rename_document.c is for
 * what stays a document, rename_across.c for all else.
 */
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
	bool stale_source; /* and leaves one at the old name that is not the one for that */
};

static inline struct slice side_path(const struct side *side)
{
	return buf_slice(&side->path);
}

/* What each does is told by its sides; called under fs->moves, alone for a directory. */
int rename_document(struct renaming *renaming);
int rename_exchange(struct renaming *renaming);
int rename_draft(struct renaming *renaming);
int rename_save_scratch(struct renaming *renaming);
int rename_to_scratch(struct renaming *renaming);
int rename_scratch(struct renaming *renaming);
int rename_directory(struct renaming *renaming);

/* Who renames what he has open and changed saves it: it is judged before it goes anywhere. */
int rename_judge_drafts(struct renaming *renaming, struct side *side);
/* Before a document is killed: drafts that others have open go where the file went. */
void rename_leave(struct renaming *renaming);
/* With fs->lock held: no node is found by the name any more; the node goes to the new name. */
void rename_forget_name(struct fs *fs, const struct side *side);
/* The same of what is gone with its name: who has it open has it still. */
void rename_replace(struct fs *fs, const struct side *side);
void rename_move_node(struct renaming *renaming);

#endif
