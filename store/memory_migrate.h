/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_MIGRATE_H
#define OUROFS_MEMORY_MIGRATE_H

#include "memory_agree.h"

/* ---- what there is to do: memory_migrate_plan.c ---- */

/* What a word asks for. */
struct wanted {
	enum {
		WANTED_SESSIONS,
		WANTED_PROJECTS,
		WANTED_LEARNINGS,
		WANTED_ALL, /* and the rest, last */
		WANTED_KEY
	} what;
	struct buf key; /* of WANTED_KEY: canonical */
};
/* -EINVAL. */
int wanted_read(struct wanted *wanted, struct slice word, struct err *err);
/* Can that be migrated now? -EINVAL, -EBUSY. */
int wanted_check(struct memory *m, struct slice word, struct err *err);
/* The mode writes no EAV store; a switch back to one that does brings everything there. */
bool migration_is_left_alone(struct memory *m);
/* No key, that is. */
bool wanted_is_word(struct slice word);

/* Entities in the order in which they are migrated: by class, then by name. */
struct plan {
	struct names names;
	unsigned char *types; /* of each name: which of these */
	const char *type_names[MIGRATION_TYPES_MAX];
	size_t type_counts[MIGRATION_TYPES_MAX];
	size_t type_count;
};
int plan_make(struct plan *plan, struct memory *m, const struct wanted *wanted);
void plan_release(struct plan *plan);

/* ---- how far it is: memory_migrate_progress.c ---- */

enum migration_state { IDLE, RUNNING, PAUSED, DONE, FAILED, STOPPED };
const char *migration_state_name(enum migration_state state);

struct migration {
	pthread_t thread;
	bool started; /* the thread; memory_migrate's, under mutex */
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	/* guarded by mutex */
	bool closing;
	enum migration_state state;
	uint64_t run; /* a number for each that began */
	struct memory_migration seen;
	int64_t active_ms;  /* how long it has worked, pauses not included */
	int64_t since_ms;   /* monotonic: since when it works; 0: it does not */
	int64_t told_ms;    /* monotonic: the last event */
	size_t active_done; /* of done: in that time */
	/* the thread's own */
	struct plan plan;
	bool planned;
	size_t at; /* of the plan: what is before is done */
};

/* With mutex held. */
void migration_set(struct migration *g, enum migration_state state);
/* A chunk is where it belongs, but for its failures; so many of it were there before. */
void migration_count(struct migration *g, const struct chunk *chunk, size_t skipped);
/* Of a chunk that is compared and not written yet. Without mutex. */
size_t migration_skipped(const struct chunk *chunk);
/* An event ("migration-paused"). Of progress only now and then. */
void migration_tell(struct memory *m, const char *name);
void migration_tell_progress(struct memory *m);

#endif
