/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONTROL_VALIDATE_H
#define OUROFS_CONTROL_VALIDATE_H

#include "state.h"

/* What /.validate shows: memory_validation of the latest run as JSON. 0 or -ENOMEM. */
int control_read_validate(struct fs *fs, struct buf *out);

#endif
