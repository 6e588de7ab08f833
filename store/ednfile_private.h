/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDNFILE_PRIVATE_H
#define OUROFS_EDNFILE_PRIVATE_H

#include <pthread.h>
#include <sys/stat.h>

#include "atomic_file.h"
#include "ednfile.h"
#include "ednfile_map.h"

/* What tells one state of the file on disk from another. */
struct ednfile_identity {
	bool exists;
	struct atomic_owner owner; /* where it is no more, of the one that was */
	dev_t dev;
	ino_t ino;
	uint64_t size;
	struct timespec mtime;
	struct timespec ctime;
};

struct ednfile {
	char *path;   /* absolute; may be a symbolic link */
	char *target; /* where that leads */
	bool follow;  /* target is a name in /proc */
	const struct schema *schema;
	unsigned settle_ms;
	int64_t waited_ms; /* for its writer, while it was read */
	struct ednpool pool;
	struct ednmap map;
	size_t trailing_bytes;
	struct ednblock *put_away;      /* on its way */
	int index_dir;                  /* where the index of the text is kept, or -1 */
	const struct ednblock *indexed; /* the image that the index there is of */
	struct hash128 indexed_hash;
	/* Guards identity, and what readers make when it is first asked for: children and their texts. */
	pthread_mutex_t lock;
	struct ednfile_identity identity;
};

struct ednfile_identity ednfile_identity_of(const struct stat *st);
/* Reads and indexes the file. */
int ednfile_load(struct ednfile *file, struct err *err);
/* There is no file: an empty map is. */
int ednfile_load_empty(struct ednfile *file, struct err *err);
/* Canonical text as a key in map: 0, -ENOENT, -ENOMEM. */
int ednfile_find_in(const struct ednmap *map, struct slice text, uint32_t *at);
/* The value's text; where no edit has cut it in pieces, without the mutex. */
int ednfile_item_of(const struct ednfile *file, const struct ednmap *map, uint32_t at,
	struct ednfile_item *item);
/* The members of a key. -ENOENT, -ENOTDIR: its value is no map, -ENOMEM. */
int ednfile_find_child(const struct ednfile *file, struct slice key, struct ednmap **child);

#endif
