/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONTROL_MIGRATE_H
#define OUROFS_CONTROL_MIGRATE_H

#include "state.h"

/* What /.migrate shows: memory_migration as JSON. 0 or -ENOMEM. */
int migrate_print(struct fs *fs, struct buf *out);
/* What is written there: memory_migrate's word. */
int migrate_write(struct fs *fs, struct slice text);

#endif
