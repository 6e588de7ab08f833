/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONFINE_H
#define OUROFS_CONFINE_H

#include "err.h"
#include "options.h"

/*
 * What the daemon takes away from itself, so that a bug in what reads other people's files is no way to
 * the rest of the machine.
 */

/* No core dump, no debugger of the same user's: memory holds what is in documents. First of all. */
void confine_secrets(void);

/*
 * For good, and for all threads that are started from here on: none may have been. No program that is executed gains
 * privileges. Where the kernel has Landlock (2 or later: files must move between directories), only this can be opened:
 *
 *	the directory of memory.edn (files), and the state directory (files and directories);
 *	/dev/null, for clone_fd /dev/fuse, and for the time of day /etc/localtime and the time zones.
 *
 * Both directories are meant themselves, not their names: one that is put in their place is out of reach. Nothing is
 * executed, no device, pipe, socket or link made, no mount changed (see guardian.h), no network used. Elsewhere
 * it is without effect, which is no error.
 *
 * Makes the state directory, unless the mount is read-only, and refuses (-EPERM) one that someone else has planted.
 */
int confine(const struct options *options, struct err *err);

#endif
