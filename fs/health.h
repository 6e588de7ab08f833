/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_HEALTH_H
#define OUROFS_HEALTH_H

#include "state.h"

/* Appends what /.health shows, as JSON; ourofs(5) has the fields. -ENOMEM. */
int health_print(struct fs *fs, struct buf *out);

#endif
