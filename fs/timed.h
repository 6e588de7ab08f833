/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_TIMED_H
#define OUROFS_TIMED_H

#include "state.h"

/*
 * The table of operations that libfuse calls: each of ops.h, counted and timed from the call to its return,
 * which is when it is answered but for the few that are answered later.
 *
 * What an operation answered is seen at fuse_reply_err, which the linker redirects here (--wrap in
 * meson.build), so that no operation has to say it twice.
 */

/* The request will be answered with this error (positive, or 0) by another thread. */
void timed_result(fuse_req_t req, int error);
/* ... or nobody knows yet: who answers calls metrics_operation itself. When the operation began. */
uint64_t timed_later(fuse_req_t req);

#endif
