/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_DESCRIPTORS_H
#define OUROFS_DESCRIPTORS_H

#include <stdbool.h>

/*
 * How many files this process may have open (RLIMIT_NOFILE). The soft limit of a session, 1,024, is there for programs
 * that call select(2), as setrlimit's users know (systemd.exec(5)); nothing here does.
 */

/* As many as may be allowed. */
void descriptors_raise_limit(void);

/*
 * Are so few left that a caller may not keep one more open? The last ones are for what lasts no longer than a request,
 * and for the stores: without them nothing could be saved.
 */
bool descriptors_are_few(void);

#endif
