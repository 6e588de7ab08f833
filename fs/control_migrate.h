/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONTROL_MIGRATE_H
#define OUROFS_CONTROL_MIGRATE_H

#include "state.h"

/* What /.migrate shows: memory_migration as JSON. 0 or -ENOMEM. */
int control_read_migrate(struct fs *fs, struct buf *out);

#endif
