/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_WRITE_ALL_H
#define OUROFS_WRITE_ALL_H

#include <stddef.h>

/*
 * Of a large file, so many bytes are written in one call. For more, filesystems take huge pages where there are any,
 * and the host of a virtual machine may have to find each of these: that took three times as long.
 */
enum { WRITE_STEP_BYTES = 1 << 20 };

/* As often as it takes, from where the descriptor is. 0 or a negative errno; -ENOSPC too where nothing is taken. */
int write_all(int fd, const char *bytes, size_t len);

#endif
