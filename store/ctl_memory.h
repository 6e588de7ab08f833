/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CTL_MEMORY_H
#define OUROFS_CTL_MEMORY_H

#include "ctl.h"
#include "memory.h"

/* The memory of a store that is not mounted, as commands open it. */
struct ctl_memory {
	char *store; /* absolute */
	char *edn; /* as --edn said, else garden.edn beside garden.eav, or memory.edn beside any other name */
	struct schema *schema;
	struct memory *memory;
};

/*
 * Where it is: keeps nothing open. -ENOENT: there is no store; or no file that --edn named; or none where it should be
 * beside the store, which had one.
 */
int ctl_memory_find(struct ctl_memory *cm, const char *store, const char *edn, struct err *err);
/* -EBUSY: it is mounted (the daemon's pid is in the text). mapping: NULL, or a file of the option's. */
int ctl_memory_open(struct ctl_memory *cm, const char *mapping, bool read_only, struct err *err);
/* What is committed is in both stores then: the error, if any, says that it is not. */
int ctl_memory_close(struct ctl_memory *cm, struct err *err);

#endif
