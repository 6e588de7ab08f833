/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_TOLD_H
#define OUROFS_TOLD_H

#include "memory.h"

/*
 * What the memory tells (a memory_event_fn; context is the fs): a line of /.events; what fails is a line of
 * /.errors, too, and what its owner should know one of the log's.
 */
void told_event(void *fs, const struct memory_event *event);

#endif
