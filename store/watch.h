/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_WATCH_H
#define OUROFS_WATCH_H

#include <stdbool.h>

/*
 * Tells when a file changes (inotify): by its name, whoever replaces, makes or removes it there, or as
 * an inode that needs no name. One thread, which sleeps until something happens.
 *
 * fn is called on that thread, perhaps often for one change and perhaps for none; inode says that it
 * was one of watch_inode's.
 */
struct watch;
typedef void watch_fn(void *context, bool inode);

/* 0, -EMFILE (the user's limit of inotify instances), -ENOMEM, -EAGAIN. */
int watch_new(struct watch **watch, watch_fn *fn, void *context);
/* path is absolute; where it is a symbolic link, its target is watched, too. 0, -ENOSPC, -ENOMEM, -ENOENT. */
int watch_file(struct watch *watch, const char *path);
/* A number for watch_drop, or a negative errno. Closing fd does not end it. */
int watch_inode(struct watch *watch, int fd);
void watch_drop(struct watch *watch, int number);
/* fn is not called any more. NULL is fine, here and below. */
void watch_stop(struct watch *watch);
void watch_free(struct watch *watch);

#endif
