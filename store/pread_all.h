/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_PREAD_ALL_H
#define OUROFS_PREAD_ALL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As often as it takes. How many bytes there are from `at` on, at most len; or a negative errno. */
ssize_t pread_all(int fd, void *bytes, size_t len, uint64_t at);

#endif
