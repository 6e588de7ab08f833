/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_NAMES_H
#define OUROFS_MEMORY_NAMES_H

#include "memory_eav.h"

/* The names (entity_id_name) of all entities, each once, sorted by bytes. */
struct names {
	struct buf text;
	size_t *at; /* offsets of length and name; sorted at the end */
	size_t count, cap;
};

/* Of what is served, deleted or not, and of the EAV store. Takes memory.lock. */
int names_gather(struct names *names, struct memory *m);
struct slice names_at(const struct names *names, size_t i);
void names_release(struct names *names);

#endif
