/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ENV_CLOSED_H
#define OUROFS_ENV_CLOSED_H

#include <stdbool.h>

/*
 * Was an LMDB file left as its last writer closed it? That one says so in "data.mdb.closed", with the file's
 * number, size and times as they were then. What it looks like by then need not be examined again: reading all pages of a
 * large file takes longer than everything else that a mount does.
 */
bool env_is_closed(int dir_fd);
/* Before the first write: durable, so that no power cut brings the word back. 0 or a negative errno. */
int env_forget_closed(int dir_fd);
/* When all is written. A word that can't be kept costs an examination, nothing else. */
void env_note_closed(int dir_fd);

#endif
