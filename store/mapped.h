/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MAPPED_H
#define OUROFS_MAPPED_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Gives back what the pages of a mapped file take of the process's memory: they stay in the page cache. A step is some
 * 50 us where all of them are there, which no one can interrupt on a kernel that doesn't preempt itself: from *at on,
 * which goes on. False: that was the last of the size bytes.
 */
bool mapped_unmap_step(char *begin, size_t size, size_t *at);

#endif
