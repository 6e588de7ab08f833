/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_STORES_H
#define OUROFS_MEMORY_STORES_H

#include "memory.h"

/*
 * What each store holds by itself, at the paths that the memory has: so that the two can be compared file by file.
 *
 * MEMORY_STORE_EDN is what memory.edn holds, or is about to, and in a mode that leaves it alone the file as it
 * stands. MEMORY_STORE_EAV is the documents of the EAV store, with what is committed and on its way there.
 * Where both hold the same value, both show the same bytes: those that were saved.
 *
 * Any thread. What it takes to answer (an index of the EAV store's names, memory.edn's text) is made when it is first asked for
 * and freed when nobody has asked for a minute.
 */
enum memory_store { MEMORY_STORE_EDN, MEMORY_STORE_EAV };

/*
 * As memory_stat, memory_read and memory_list; ino is 0. -ENODEV: the mode keeps the EAV store closed. -EIO: a damaged
 * document, or a memory.edn that can't be read.
 */
int memory_store_stat(struct memory *memory, enum memory_store store, struct slice path,
	struct memory_stat *st);
int memory_store_read(struct memory *memory, enum memory_store store, struct slice path,
	struct buf *bytes);
int memory_store_list(struct memory *memory, enum memory_store store, struct slice directory,
	memory_list_fn *fn, void *context);

#endif
