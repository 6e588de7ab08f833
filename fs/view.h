/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_VIEW_H
#define OUROFS_VIEW_H

#include "state.h"

/*
 * What stands at a path, of the memory, the real files below STORE and the control files together.
 *
 * Directories are the union of both: one is there while a key is below it or a real directory
 * stands in scratch/ at the same path. A *.json name is the memory's; an empty real file of that name in
 * scratch/ is a new document that has no content yet.
 */
enum view_kind {
	VIEW_DIRECTORY,
	VIEW_DOCUMENT,
	VIEW_DRAFT,   /* a *.json without content */
	VIEW_SCRATCH, /* a real file */
	VIEW_CONTROL,
	VIEW_STORE, /* a file below .store */
};

struct view {
	enum view_kind kind;
	struct stat st;   /* complete, as the kernel gets it */
	uint64_t version; /* VIEW_DOCUMENT */
	bool hidden;      /* VIEW_DOCUMENT: it can't be read */
	bool in_memory;   /* VIEW_DIRECTORY: keys make it */
	bool in_scratch;  /* VIEW_DIRECTORY: a real directory makes it */
	unsigned control; /* VIEW_CONTROL */
};

/* 0, -ENOENT, -EIO ... No fs lock may be held. */
int view_find(struct fs *fs, struct slice path, struct view *view);
/* Of a document that was found. */
void view_document(const struct fs *fs, const struct memory_stat *found, struct view *view);

/* Names of the root that are ourofs's own, whether they exist or not. */
bool view_is_reserved(struct slice path);
/*
 * Is it a scratch file's path by its spelling (a dotfile, not *.json, below a dot directory)? The tree and the path
 * in it. False for documents; true also for what turns out to be a directory of the memory.
 */
bool view_is_scratch(struct fs *fs, struct slice path, struct scratch **tree, struct slice *rel);
/* Below a dot directory, where *.json names are scratch, too, and no key can be. */
bool view_below_dot(struct slice path);
bool view_is_read_only(struct slice path);

void view_document_stat(const struct fs *fs, const struct memory_stat *from, struct stat *st);
void view_draft_stat(const struct fs *fs, struct draft *draft, uint64_t ino, struct stat *st);
void view_empty_stat(const struct fs *fs, uint64_t ino, mode_t mode, struct timespec made,
	struct stat *st);
/* A directory that someone is in, though it was removed: of what it was nothing is left but its number. */
void view_removed_stat(const struct fs *fs, uint64_t ino, struct stat *st);
void view_scratch_stat(const struct fs *fs, const struct stat *from, struct stat *st);
uint64_t view_directory_ino(struct slice path);

/* How long the kernel may keep what it was told. */
enum { VIEW_LONG_S = 86400 };

#endif
