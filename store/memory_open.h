/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_OPEN_H
#define OUROFS_MEMORY_OPEN_H

#include "memory_internal.h"

/* Everything up to where the threads can start. */
int memory_open_stores(struct memory *m, struct err *err);
/* Switches to the mode that the options ask for; the threads run. */
int memory_open_mode(struct memory *m, struct err *err);

#endif
