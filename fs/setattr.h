/* SPDX-License-Identifier: MIT */
/* One change of attributes: what ops_setattr was asked for, and the part of it that real files have. */
#ifndef OUROFS_SETATTR_H
#define OUROFS_SETATTR_H

#include "ops.h"

struct attribute_change {
	struct fs *fs;
	struct node *node;
	struct handle *handle; /* the one it came by, or NULL */
	pid_t thread;
	const struct stat *attr;             /* as the kernel asked */
	int to_set;                          /* FUSE_SET_ATTR_* of attr */
	struct memory_attributes attributes; /* what of it a document has */
	struct document *stale;              /* the name's cache entry is out of date; referenced */
};

/* The descriptor of the handle it came by, or -1. */
int setattr_own_fd(const struct attribute_change *change);
/* Of the real file or directory for path: 0, -EROFS in what is only shown, or what the disk says. */
int setattr_real(struct attribute_change *change, struct slice path);
/* An empty file keeps its attributes in scratch until it is a document. 0 too where there is none. */
int setattr_empty(const struct attribute_change *change, struct slice path);

#endif
