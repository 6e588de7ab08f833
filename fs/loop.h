/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_LOOP_H
#define OUROFS_LOOP_H

#include "fs.h"

/*
 * The threads that serve the kernel's requests, in place of fuse_session_loop_mt.
 *
 * Where several threads wait for requests the kernel wakes the one that has waited longest: each request of a
 * single caller goes to another thread, whose caches are cold and which is as often as not on another processor.
 * Here one thread reads requests and serves them, the reader; the others are parked. Another one is made a reader
 *
 *	- when a request says that it will take long (loop_stand_aside): its thread is parked when it has answered;
 *	- when one has taken two to four milliseconds without saying so, which a watchdog looks for while requests come;
 *	- beside it, while the readers there are have work all the time: up to one for every two processors, as callers
 *	  need the others, or as many as there may be threads while what they wait for is the disk.
 *
 * A reader that is the only one may wait for the next request awake (linger.h). Without requests nothing runs: neither
 * the readers nor the watchdog.
 */

struct loop_limits {
	unsigned threads;      /* at most, readers and parked; at least 1 */
	unsigned idle_threads; /* of them, kept while they have nothing to do; the reader counts */
};

/*
 * Serves until the session is unmounted or ended (fuse_session_exit, as libfuse's signal handlers call it, on the calling
 * thread). 0, or a negative errno.
 */
int loop_run(struct fuse_session *session, const struct loop_limits *limits);

/*
 * By an operation, before what it waits for long: others are served meanwhile. Under no lock that one of those may
 * want. On threads that are not loop_run's it does nothing.
 */
void loop_stand_aside(void);

#endif
