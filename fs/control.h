/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONTROL_H
#define OUROFS_CONTROL_H

#include "state.h"

/*
 * The control files of the root: one table of name, reader and writer. An open handle reads one
 * snapshot, taken when its name was looked up, or a stream that grows; a write acts, and reports its error, at write().
 */

/* Index in the table, or -1. */
int control_find(struct slice name);
/* Names in the table, for listings and /.help; NULL behind the last. */
const char *control_name(unsigned control);
bool control_is_writable(unsigned control);

/* It has no text of one moment, but a stream of its own for each node. */
bool control_grows(unsigned control);

/* All but size and times. */
void control_stat(struct fs *fs, unsigned control, uint64_t ino, struct stat *st);
/* Its text as it is now. */
int control_read(struct fs *fs, unsigned control, struct buf *out);

/* ---- control_view.c: the node's text or stream ---- */

/* After a LOOKUP: what is looked at from now on. Sets st's size and times. No lock is held. */
int control_enter(struct fs *fs, struct node *node, struct stat *st);
/* Sets st's size and times. */
int control_node_stat(struct fs *fs, const struct node *node, struct stat *st);
/* Attaches the handle. */
int control_open(struct fs *fs, struct node *node, struct handle *handle);
int control_read_handle(struct fs *fs, struct handle *handle, size_t size, off_t offset,
	struct buf *out);

/* Answers the request: bytes taken, or the error. May take long, so it may do so later, on another thread. */
void control_write(struct fs *fs, unsigned control, fuse_req_t req, struct slice text);

#endif
