/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LOCK_ORDER_CHECK_H
#define OUROFS_LOCK_ORDER_CHECK_H

#include <stdbool.h>

#include "lock_order.h"

/*
 * The check of lock_order.h, which the linker puts before pthread's functions (--wrap in meson.build). What is
 * out of order ends the process, with the ranks and a backtrace on stderr. Any thread.
 */
void lock_order_add(const void *lock, enum lock_rank rank, bool recursive);

#endif
