/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_STORES_H
#define OUROFS_STORES_H

#include "view.h"

/*
 * /.store/edn/ and /.store/datalevin/: each store by itself (memory_stores.h), read-only. A file is read as it was when it
 * was opened. The kernel keeps next to nothing of it, as no commit tells it that these changed.
 */

/* Is it .store, or below? */
bool stores_have(struct slice path);
int stores_find(struct fs *fs, struct slice path, struct view *view);
/* Appends a file's bytes. -ENOENT, -EIO (damaged) ... */
int stores_read(struct fs *fs, struct slice path, struct buf *bytes);
int stores_list(struct fs *fs, struct slice path, memory_list_fn *fn, void *context);
/* How long the kernel may keep a name. */
double stores_entry_timeout_s(struct slice path, const struct view *view);
uint64_t stores_ino(struct slice path);

#endif
