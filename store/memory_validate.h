/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_VALIDATE_H
#define OUROFS_MEMORY_VALIDATE_H

#include "memory.h"

/*
 * Validation: are memory.edn and the EAV store the same, entity by entity and value by value (type-exact), and is the EAV
 * store in itself what it should be (eav_check.h)?
 *
 * It runs on a thread of its own, in small pieces under a reader's lock; nobody waits for it, and it changes
 * nothing. What differs only because a change has not come to the EAV store yet is looked at again when
 * it has. Of memory.edn it takes what the memory holds for it, which is what the file holds or is about to; in datalevin-only,
 * where the file is left alone, the file as it stands.
 */
enum validation_state {
	VALIDATION_IDLE, /* none since the mount */
	VALIDATION_RUNNING,
	VALIDATION_DONE,
	VALIDATION_FAILED,
	VALIDATION_STOPPED,
};

enum validation_kind {
	VALIDATION_ONLY_EDN,
	VALIDATION_ONLY_EAV,
	VALIDATION_DIFFERENT,
	VALIDATION_INDEX_WITHOUT_DATOM,
	VALIDATION_DATOM_WITHOUT_INDEX,
	VALIDATION_DAMAGED,
	VALIDATION_KINDS,
};
extern const char *const validation_kind_names[VALIDATION_KINDS]; /* "only_edn" ... */

enum { VALIDATION_FIRST = 100 };

struct validation_finding {
	enum validation_kind kind;
	char *key;          /* as memory_describe's: "[:presence/s1 \"alice\"]"; empty: not known */
	char *path;         /* of the file or directory; empty: not known */
	char *attribute;    /* of a datom, canonical EDN; else empty */
	const char *detail; /* in words */
};

/* The latest run. Numbers of one that is running are so far. */
struct validation {
	enum validation_state state;
	size_t total; /* entities to compare: documents and collections; 0 until they are known */
	size_t compared; /* of these */
	size_t differences;
	size_t kinds[VALIDATION_KINDS];
	struct timespec started, ended; /* 0: not yet */
	char error[200];                /* of VALIDATION_FAILED */
	size_t first_count;
	struct validation_finding first[VALIDATION_FIRST];
};

/*
 * "run", "stop"; both return at once. -EINVAL: another word. -EBUSY: one is running. -ENODEV: the mode keeps the EAV
 * store closed.
 */
int memory_validate(struct memory *memory, struct slice word, struct err *err);
/* A copy, to release. -ENOMEM. */
int memory_validation(struct memory *memory, struct validation *validation);
void validation_release(struct validation *validation);

#endif
