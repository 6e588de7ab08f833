/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONTROL_VALIDATE_H
#define OUROFS_CONTROL_VALIDATE_H

#include "state.h"

/* /.validate: JSON of the latest run (memory_validate.h); takes "run" and "stop". */
int control_read_validate(struct fs *fs, struct buf *out);
int control_write_validate(struct fs *fs, struct slice text);

#endif
