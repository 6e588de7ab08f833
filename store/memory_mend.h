/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_MEND_H
#define OUROFS_MEMORY_MEND_H

#include "memory_internal.h"

/*
 * A memory mends its own stores, where something else holds what a damaged one held.
 *
 *	saved/data.mdb   at open, by what ourofsctl check --repair does. Every read needs it.
 *	data.mdb         when it fails and memory.edn is written: a new one takes its place, and the flush thread brings
 *	                 there what is served, as a migration of all does. memory.edn serves meanwhile.
 *
 * The file as it was stays beside it (bad_file.h). What was done is told, and shown by health where a value may be
 * an older one than was saved.
 */

/* Nobody has the memory open. The outcome for the memory that is opened next. */
int memory_mend_saved(const char *store_path, struct remade *remade, struct err *err);
/*
 * Of the flush thread, not under memory.lock: data.mdb is damaged, as why says. It is closed, and gone from its place
 * afterwards.
 */
int memory_mend_eav(struct memory *m, const struct err *why, struct err *err);

#endif
