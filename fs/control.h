/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONTROL_H
#define OUROFS_CONTROL_H

#include "state.h"

/*
 * The control files of the root: one table of name, reader and writer. An open handle reads one
 * snapshot, taken at open; a write acts, and reports its error, at write().
 */

/* Index in the table, or -1. */
int control_find(struct slice name);
/* Names in the table, for listings and /.help; NULL behind the last. */
const char *control_name(unsigned control);
bool control_is_writable(unsigned control);

int control_stat(struct fs *fs, unsigned control, uint64_t ino, struct stat *st);
int control_read(struct fs *fs, unsigned control, struct buf *out);
/* Answers the request: bytes taken, or the error. May take long, so it may do so later, on another thread. */
void control_write(struct fs *fs, unsigned control, fuse_req_t req, struct slice text);

#endif
