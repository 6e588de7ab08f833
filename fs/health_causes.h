/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_HEALTH_CAUSES_H
#define OUROFS_HEALTH_CAUSES_H

#include "state.h"

/*
 * Why the mount is not healthy: each cause has a word for programs and a text for people.
 *
 *	change-cut-short        unhealthy: no changes are taken until a remount
 *	journal-write-failed    unhealthy: changes can't be committed, or be synced
 *	store-directory-gone    unhealthy: STORE was removed below the mount
 *	store-directory-moved   degraded: STORE is no more where the next mount looks for it
 *	edn-write-failed        degraded; unhealthy where no other store is written, or that fails, too
 *	edn-read-failed         degraded: with -o ro, what others write there can't be shown
 *	eav-failed              the same as edn-write-failed
 *	stores-behind           degraded: what is committed stays in the journal
 *	saved-damaged           degraded: it was found so; values are served, the next mount makes it anew
 *	saved-remade            degraded: it was damaged, and what was saved last may be gone
 *	edn-unwatched           degraded: what others write to memory.edn is seen up to a second later
 *	edn-set-aside           degraded: another writer left memory.edn broken, or most of it out, and it is still beside
 *	edn-unreadable-keys     degraded: Clojure can't read memory.edn
 *	edn-trailing-bytes      degraded: nobody reads all of memory.edn
 */
enum { CAUSES_MAX = 14 };

struct cause {
	const char *name;
	bool unhealthy;
	long long since_s; /* wall clock: when it began, or was first seen */
	char detail[400];
};

/* Returns how many there are. */
size_t health_causes(struct fs *fs, const struct memory_health *health,
	struct cause rows[CAUSES_MAX]);
/* "healthy", "degraded" or "unhealthy". */
const char *health_status(const struct cause *rows, size_t count);

#endif
