/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_BATCH_H
#define OUROFS_MEMORY_BATCH_H

#include "memory_internal.h"

/* What one attempt of the flush thread brings to saved and the EAV store. */
struct batch {
	struct arena arena;
	struct saved_item *items;
	size_t count;
	struct pending **pending; /* of the first items, in their order; a reference each */
	size_t pending_count;
	struct table dirs; /* taken from memory.dirty_dirs */
	struct slice *exiles;
	size_t exile_count;
	uint64_t sequence, next_ino, version, epoch, mode;
};

/* Under the writer's lock: what is pending, as a snapshot. On failure nothing is taken. */
int batch_take(struct memory *m, struct batch *batch);
/* Under the writer's lock: readers go to the stores from now on; or, when not saved, all is pending again. */
void batch_finish(struct memory *m, struct batch *batch, bool saved);
void batch_release(struct batch *batch);

#endif
