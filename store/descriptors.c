/* SPDX-License-Identifier: MIT */
#include "descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* One a thread that serves, segments of the journal, LMDB's files, a rewrite: with room to spare. */
enum { KEPT = 128 };

void descriptors_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

bool descriptors_are_few(void)
{
	int lowest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	struct rlimit limit;

	if (lowest < 0)
		return true;
	close(lowest);
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)lowest + KEPT >= limit.rlim_cur;
}
