/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_COPY_TREE_H
#define OUROFS_COPY_TREE_H

#include <stddef.h>
#include <sys/types.h>

#include "err.h"

/*
 * Copies files and directories, with modes and mtimes; holes stay holes. What changes meanwhile is
 * copied in one state or the other, what vanishes is left out. Not synced.
 */
int copy_file(int from_fd, int to_dir, const char *name, struct err *err);
/* skipped counts what is neither file nor directory. -ENOENT: from is not there. */
int copy_tree(const char *from, const char *to, size_t *skipped, struct err *err);
/* As far as it goes: of what is ours, and no use to anyone. */
void remove_tree(const char *path);

#endif
