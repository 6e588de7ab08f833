/* SPDX-License-Identifier: MIT */
/*
 * A log of what was changed: a record of it is in the file once append returned, and on the disk once sync did. Nobody
 * reads it. Any thread.
 */
#ifndef OUROFS_NULL_JOURNAL_H
#define OUROFS_NULL_JOURNAL_H

#include <stddef.h>

/* Without one, all of it costs nothing. Ends the program where it fails, as all below do. */
void null_journal_open(const char *path);
void null_journal_append(const void *bytes, size_t len);
/* All that was appended before. Who comes while another waits for the disk shares the next wait. */
void null_journal_sync(void);

#endif
