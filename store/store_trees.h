/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_STORE_TREES_H
#define OUROFS_STORE_TREES_H

#include "memory_internal.h"
#include "memory_stores.h"

/*
 * Which names each store has by itself: trees as the memory's own, but that a document's id is the entity's name
 * (entity_id_name). The EAV store's follows what is written there; memory.edn's is of the file as it
 * stands, read again when that changed.
 */
struct store_trees {
	pthread_mutex_t mutex; /* guards what follows */
	struct tree *eav;
	uint64_t eav_opened; /* memory.eav.opened, of which it is */
	struct tree *edn;
	struct ednfile *file; /* of which edn is */
	int64_t used_ms;      /* monotonic; of the latest question */

	pthread_mutex_t touched_mutex; /* guards what follows */
	bool watching;                 /* eav is there, or being made */
	bool lost;                     /* ... and can't be kept up */
	struct table touched;          /* names that may have come to be, or to be gone, since */
};

struct store_trees *store_trees_new(void);
void store_trees_free(struct store_trees *trees);

/* From any thread, whatever it holds: something is to be known of this entity. */
void store_trees_touch(void *memory, struct slice name);
/* Frees what nobody has asked for. When to come back: monotonic ms, or 0. */
int64_t store_trees_tidy(struct memory *m);

/* With the mutex held, memory.lock not: the tree as it is now. -ENODEV, -EIO, -ENOMEM. */
int store_trees_eav(struct memory *m, struct tree **tree);
int store_trees_edn(struct memory *m, struct tree **tree);

#endif
