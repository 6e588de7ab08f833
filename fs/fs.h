/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_FS_H
#define OUROFS_FS_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "memory.h"
#include "options.h"

/*
 * The filesystem: composes nodes, handles, scratch files, control files and the memory behind
 * libfuse's low-level operations.
 *
 *	memory_open(&memory, ...);
 *	fs_new(&fs, options, memory, &err);
 *	session = fuse_session_new(&args, &fs_operations, sizeof(fs_operations), fs);
 *	fs_start(fs, session);             // the threads of its own; after the fork
 *	fuse_session_mount(...); loop_run(...);
 *	fuse_session_unmount(session);
 *	fs_stop(fs);                       // judges the drafts still open, ends its threads
 *	fuse_session_destroy(session);
 *	fs_free(fs);
 *	memory_close(memory, &err);
 */
struct fs;

extern const struct fuse_lowlevel_ops fs_operations;

int fs_new(struct fs **fs, const struct options *options, struct memory *memory, struct err *err);
int fs_start(struct fs *fs, struct fuse_session *session);
void fs_stop(struct fs *fs);
void fs_free(struct fs *fs);

#endif
