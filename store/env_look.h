/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ENV_LOOK_H
#define OUROFS_ENV_LOOK_H

#include "err.h"

/*
 * Looks at data.mdb below dir_fd before LMDB sees it, which trusts what it maps: it would die of a damaged file, or
 * walk in circles. name is what messages call it.
 *
 * 0; -EUCLEAN: it is damaged, and ours, as far as can be told; -EINVAL: another program's; -EIO and the like.
 */
int env_examine(int dir_fd, const char *name, struct err *err);
/* -EINVAL, in the words of all who find that it is another program's. */
int env_refuse(const char *name, struct err *err);
/* -EUCLEAN, likewise. */
int env_damaged_notes(const char *name, struct err *err);

#endif
