/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_BATCH_H
#define OUROFS_MEMORY_BATCH_H

#include "memory_internal.h"

/* What one attempt writes. */
struct batch {
	struct arena arena;
	struct saved_item *items;
	size_t count;
	struct pending **pending; /* the documents among items; a reference each */
	size_t pending_count;
	struct table dirs; /* taken from memory.dirty_dirs */
	struct slice *exiles;
	size_t exile_count;
	uint64_t sequence, edn_sequence, next_ino, version;
	struct ednfile_snapshot *snapshot;
};

/* Under the writer's lock: what is pending, as a snapshot. On failure nothing is taken. */
int batch_take(struct memory *m, struct batch *batch);
/* Without a lock: brings it to saved and memory.edn. What fails stays pending. */
int batch_write(struct memory *m, struct batch *batch, struct err *err);
void batch_release(struct batch *batch);

int64_t memory_now_ms(void); /* monotonic */

#endif
