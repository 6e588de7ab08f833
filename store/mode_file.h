/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MODE_FILE_H
#define OUROFS_MODE_FILE_H

#include "mode.h"

/*
 * STORE/mode: the mode once more, as a word. What counts is the note in saved; this is for when that is lost, as
 * whoever chose datalevin-only or edn-only did so for a reason.
 */

/* What can't be written is not there when it is needed: no reason to fail. */
void mode_file_write(int dir_fd, enum mode mode);
/* False: there is none that says something. */
bool mode_file_read(int dir_fd, enum mode *mode);

#endif
