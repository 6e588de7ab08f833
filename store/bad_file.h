/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_BAD_FILE_H
#define OUROFS_BAD_FILE_H

#include "buf.h"
#include "err.h"

/* A damaged file of STORE stays beside the one that is made anew, for people: as NAME.bad-SECONDS. */
enum { BAD_FILES_MAX = 3 };

/* Gives the file that name, too. kept: what it is; nothing where there is no such file. Not synced. */
int bad_file_keep(int dir_fd, const char *name, struct buf *kept, struct err *err);
/* The newest BAD_FILES_MAX of them are enough, when nobody is there who asked for them. */
void bad_file_prune(int dir_fd, const char *name);

#endif
