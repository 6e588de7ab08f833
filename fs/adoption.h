/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ADOPTION_H
#define OUROFS_ADOPTION_H

#include "memory.h"

/*
 * memory.edn was changed by someone else and the memory takes that over: what is open keeps the
 * version that it has, and the kernel forgets what it was told of everything that changed.
 * Called by the memory (memory_on_adoption); context is the struct fs.
 */
void adoption_event(void *context, enum memory_adoption phase, const struct slice *paths);

#endif
