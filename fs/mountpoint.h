/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MOUNTPOINT_H
#define OUROFS_MOUNTPOINT_H

#include "options.h"

/*
 * What can be known to be wrong before anything is touched: a mountpoint that is not there, no
 * directory, left behind by a daemon that died, or not empty; memory.edn or the store below the
 * mountpoint, where the mount would hide them and the daemon wait for itself; no /dev/fuse.
 * 0, or a negative errno with a reason that says what to do.
 */
int mountpoint_check(const struct options *options, struct err *err);

#endif
