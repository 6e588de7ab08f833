/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_APPLY_H
#define OUROFS_MEMORY_APPLY_H

#include "memory_internal.h"

/* One journal record being applied, live or in a replay. */
struct apply {
	struct memory *m;
	struct tree_times times;
	uint64_t sequence;
	bool replay;
	bool edn_changed;
	struct buf name; /* entity_id_name of the change at hand */
	struct err *err;
};

/*
 * Who saves, deletes and renames documents does so in directories that are there for everybody to see, with keys
 * or without.
 */
struct tree_times apply_times(enum journal_kind kind, struct timespec now);

/* a->name is that of c. Errors: -ENOMEM, -EEXIST (an equal key), -EBADMSG. */
int apply_change(struct apply *a, const struct change *c);

#endif
