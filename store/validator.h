/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_VALIDATOR_H
#define OUROFS_VALIDATOR_H

#include "memory_internal.h"
#include "memory_validate.h"

/* What the files of the validation share: its thread and what it has found. */
struct validator {
	struct memory *m;
	pthread_t thread;
	bool joinable;    /* guarded by mutex, as is report */
	atomic_bool stop; /* end soon */
	pthread_mutex_t mutex;
	struct validation report;
};

struct validator *validator_new(struct memory *m);
/* Ends a run that is under way, and waits for that. */
void validator_stop(struct validator *validator);
void validator_free(struct validator *validator);

/* ---- for the thread ---- */

/* Counts a difference, and keeps it if it is among the first. Under memory.lock. name may be empty. */
int validator_found(struct validator *v, enum validation_kind kind, struct slice name,
	struct slice attribute, const char *detail);
void validator_count(struct validator *v, size_t total, size_t compared);

/* ---- validator_compare.c, validator_index.c: the work, without locks. -ECANCELED: told to stop ---- */

int validator_compare(struct validator *v, struct err *err);
int validator_check_index(struct validator *v, struct err *err);
/* Takes memory.lock for reading when the EAV store is there to be read; else why not. */
int validator_lock(struct validator *v, struct err *err);

#endif
