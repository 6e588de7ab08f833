/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_NAMES_H
#define OUROFS_MEMORY_NAMES_H

#include "memory_eav.h"

/* The names (entity_id_name) of all entities, each once, sorted by bytes. */
struct names {
	struct buf text;
	size_t *at; /* offsets of length and name; sorted at the end */
	size_t count, cap;
	size_t edn_len; /* of the text: there, as they come, are those of the memory.edn */
};

/*
 * Of what is served, or of another memory.edn (edn), of the EAV store, and pending; what is deleted may be among them. Takes memory.lock,
 * more than once. -ENODEV: the EAV store is closed.
 */
int names_gather(struct names *names, struct memory *m, const struct ednfile *edn);
/* Of a memory.edn that nobody else has, in its order. */
int names_gather_edn(struct names *names, struct memory *m, const struct ednfile *edn);
struct slice names_at(const struct names *names, size_t i);
/* Had the memory.edn it when they were gathered? It is served then. */
bool names_in_edn(const struct names *names, size_t i);
void names_release(struct names *names);

#endif
