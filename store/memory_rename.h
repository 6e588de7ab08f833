/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_RENAME_H
#define OUROFS_MEMORY_RENAME_H

#include "memory_internal.h"

/* What renaming a document (memory_rename.c) and a directory (memory_directory.c) have in common. Under memory.lock. */

/* May source's value stand at target? 0, -EISDIR, -EINVAL. */
int rename_check(struct memory *m, const struct doc *source, const struct target *target,
	struct err *err);
/* id gets all that source has: value, bytes, times, mode, inode number, version. It borrows source's memory. */
int rename_fill_put(const struct memory *m, struct change *c, struct doc *source,
	struct entity_id id);
/* Gives code back; where err has no reason yet, it is what the code says. */
int rename_explain(struct err *err, int code);

#endif
