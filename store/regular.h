/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_REGULAR_H
#define OUROFS_REGULAR_H

#include "err.h"

/*
 * Opens a regular file of the state directory: a descriptor, or -ELOOP for a symbolic link, -EINVAL for
 * what else may have been put in its place; a pipe is not waited for. flags may have O_CREAT (mode 0600).
 */
int regular_open(int dir_fd, const char *name, int flags);

#endif
