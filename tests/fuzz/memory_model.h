/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_MODEL_H
#define OUROFS_MEMORY_MODEL_H

#include "hash.h"
#include "memory.h"

/*
 * What a memory has to show, for fuzz_memory.c: documents with their bytes and attributes, and the directories
 * that collections make. A document comes in when the memory acknowledges it; from then on nothing else may be seen.
 */
enum { MODEL_DOCUMENTS = 64, MODEL_COLLECTIONS = 64, MODEL_BASES = 3 };

struct model_document {
	struct buf path;
	struct buf bytes;
	uint64_t ino;
	mode_t mode;
	struct timespec mtime;
};

/* An entity that the other writer changes, too. */
struct model_base {
	struct hash128 identity; /* in his last file; zero: it was not there */
	bool touched;            /* changed here since, perhaps back */
};

struct model {
	struct model_document documents[MODEL_DOCUMENTS];
	size_t document_count;
	struct buf collections[MODEL_COLLECTIONS]; /* paths of directories */
	size_t collection_count;
	struct model_base bases[MODEL_BASES];
};
extern const char *const model_base_paths[MODEL_BASES];

/* Ends the program where that does not hold. */
void must(bool holds, const char *what);

void model_release(struct model *model);
void model_copy(struct model *to, const struct model *from);

struct model_document *model_find(struct model *model, struct slice path);
bool model_is_directory(const struct model *model, struct slice path);
/* Is anything below the directory? */
bool model_is_empty(const struct model *model, struct slice path);
bool model_is_collection(const struct model *model, struct slice path);

/* New or not. False: it is full, and knows nothing of it. */
bool model_put(struct model *model, const struct schema *schema, struct slice path,
	struct slice bytes, const struct memory_stat *st);
void model_remove(struct model *model, struct slice path);
/* flags of memory_rename. */
void model_rename(struct model *model, const struct schema *schema, struct slice from,
	struct slice to, unsigned flags);
void model_rename_directory(struct model *model, const struct schema *schema, struct slice from,
	struct slice to);
void model_remove_collection(struct model *model, struct slice path);

/* The value's identity; zero where the document is not there. */
struct hash128 model_identity(struct model *model, struct slice path);

/* Everything that a memory shows becomes the model. False: it has no room for that. */
bool model_learn(struct model *model, const struct schema *schema, struct memory *memory);
/* NULL, or what of the memory is not as the model says. */
const char *model_differs(struct model *model, struct memory *memory);

#endif
