/* SPDX-License-Identifier: MIT */
/* What null_fs shows: a tree in memory. It keeps no lock: who calls does. */
#ifndef OUROFS_NULL_TREE_H
#define OUROFS_NULL_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum { NODES_MAX = 1 << 20 };

/* Node number n is the kernel's n + 1, so that the root, 0, is FUSE_ROOT_ID. */
struct node {
	char *name;
	char *bytes;  /* of a file */
	size_t size;  /* so many may be written there: 0 where others have them, too */
	bool written; /* since it was flushed */
	struct stat st;
	size_t *children; /* of a directory, by name */
	size_t count;
	size_t room;
};

extern struct node
	*nodes; /* room for NODES_MAX: never moved, and never reused: a benchmark makes few */

/* Says why, and ends the program, as all below do where there is no memory. */
void die(const char *what);

/* A copy of what is below a directory; or collections of members, all with the same bytes. */
void tree_load(const char *source);
void tree_make(size_t collections, size_t members);

/* A number, or 0. */
size_t tree_find(const struct node *directory, const char *name);
size_t tree_create(struct node *directory, const char *name, mode_t mode);
/* False where there is none of that name. What it replaces is gone. */
bool tree_remove(struct node *directory, const char *name);
bool tree_move(struct node *from, const char *name, struct node *to, const char *new_name);
/* In bytes. What is cut and grown again has the old bytes there. */
void tree_resize(struct node *file, size_t size);
void tree_write(struct node *file, const char *bytes, size_t size, size_t offset);

#endif
