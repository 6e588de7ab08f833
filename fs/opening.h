/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_OPENING_H
#define OUROFS_OPENING_H

#include "state.h"

/* What a writer begins with, whether it opens a document (ops_open.c) or makes one (ops_create.c). */

/*
 * A second handle of a node that has a draft shares it; a first one makes it. take_over: the node was the current one, and
 * is the writer's from now on. With fs->lock held. 0 or -ENOMEM.
 */
int opening_give_draft(struct fs *fs, struct handle *handle, struct node *node, pid_t thread,
	bool take_over);
/* The bytes that a new draft begins with; truncate: none of them. No lock held. -ESTALE: it is gone. */
int opening_load_base(struct fs *fs, struct node *node, struct document *document,
	struct draft *draft, bool truncate);
/*
 * Behind a lock of the document's, until which another may have saved: a draft that nothing was written to yet begins with
 * what is committed now. To be called before anyone looks at the node's draft. No lock held.
 */
void opening_catch_up(struct fs *fs, struct node *node, struct draft *draft);
/* An empty file that stands in scratch: its document says so while it is open. With fs->lock held. */
void opening_note_empty(struct fs *fs, struct document *document, const struct node *node);

#endif
