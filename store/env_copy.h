/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ENV_COPY_H
#define OUROFS_ENV_COPY_H

#include "err.h"

/*
 * Copies an LMDB environment as it is at one moment, also while another process writes to it. Both are
 * directories; to must hold no data.mdb. -ENOENT: from holds none. The copy is not synced.
 */
int env_copy(const char *from, const char *to, struct err *err);

#endif
