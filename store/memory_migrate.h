/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_MIGRATE_H
#define OUROFS_MEMORY_MIGRATE_H

#include "memory_agree.h"

/* ---- what there is to do: memory_migrate_plan.c ---- */

/* What a word asks for. */
struct wanted {
	enum {
		WANTED_SESSIONS,
		WANTED_PROJECTS,
		WANTED_LEARNINGS,
		WANTED_ALL, /* and the rest, last */
		WANTED_KEY
	} what;
	struct buf key; /* of WANTED_KEY: canonical */
};
/* -EINVAL. */
int wanted_read(struct wanted *wanted, struct slice word, struct err *err);

/* Entities in the order in which they are migrated: by class, then by name. */
struct plan {
	struct names names;
	unsigned char *types; /* of each name: which of these */
	const char *type_names[MIGRATION_TYPES_MAX];
	size_t type_counts[MIGRATION_TYPES_MAX];
	size_t type_count;
};
int plan_make(struct plan *plan, struct memory *m, const struct wanted *wanted);
void plan_release(struct plan *plan);

#endif
