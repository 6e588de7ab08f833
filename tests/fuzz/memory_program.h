/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_PROGRAM_H
#define OUROFS_MEMORY_PROGRAM_H

#include "memory_model.h"
#include "memory_place.h"

/* A program of fuzz_memory.c, and the memory and the model that it runs on. */
enum { DOC_BYTES_MAX = 4096 };

struct fuzz {
	const uint8_t *data; /* what is left of the program */
	size_t size;
	struct schema *schema;
	struct memory *memory;
	struct place place;
	struct model model;
	struct buf path, other, bytes;
	bool whole;     /* the EAV store holds everything */
	bool lost;      /* more is there than the model can hold: the end */
	unsigned fresh; /* a number that no document had before */
};

/* ---- memory_program.c: reading it ---- */

uint8_t program_next(struct fuzz *f);
/* Returns whether a document of any value may be there. */
bool program_take_path(struct fuzz *f, struct buf *path);
void program_take_directory(struct fuzz *f, struct buf *path);
/* Into bytes. Returns whether that is a document. */
bool program_take_bytes(struct fuzz *f);

/* Holds an answer to be a success or a refusal, and returns it. */
int answered(int ret);
void well(int ret, const struct err *err, const char *what);

/* ---- memory_steps.c: at once ---- */

void do_put(struct fuzz *f);
void do_delete(struct fuzz *f);
void do_rename(struct fuzz *f);
void do_attributes(struct fuzz *f);
void do_rename_directory(struct fuzz *f);
void do_remove_directory(struct fuzz *f);
void do_look(struct fuzz *f);

/* ---- fuzz_memory.c: open and closed ---- */

void open_memory(struct fuzz *f);
void close_memory(struct fuzz *f);

/* ---- memory_events.c ---- */

void do_fsync(struct fuzz *f);
void do_sync(struct fuzz *f);
void do_switch(struct fuzz *f);
void do_migrate(struct fuzz *f);
void do_validate(struct fuzz *f);
void do_outside(struct fuzz *f);
/* A kill or a power cut, a few steps after a sync. */
void do_cut(struct fuzz *f);

#endif
