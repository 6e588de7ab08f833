/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CHECK_H
#define OUROFS_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/*
 * Verifies all of a store that nobody has open, and mends it: the directory itself, what is saved, the EAV store,
 * the journal, and what these say of each other.
 *
 *	struct check check = {.dir_fd = dir.dir_fd, .path = path, .say = say_line};
 *	ret = check_store(&check, &err);	// check.problems says how many
 *
 * Without repair nothing is written. With it,
 *
 *	journal/         is mended as journal_check.h says;
 *	saved/data.mdb   is made anew of all good records; in the place of the others comes what the EAV store has
 *	                 of those documents, and the next mount replays all that the journal has;
 *	data.mdb         is made anew of all good documents; the others come back at the next mount, from memory.edn,
 *	                 what is saved, and the journal.
 *
 * A file that is replaced stays beside the new one as NAME.bad-SECONDS. Each is replaced in one step, so that a
 * kill leaves the old one or the new one.
 */
struct check_line {
	const char *file;  /* in the store: "saved/data.mdb" */
	const char *where; /* in the file: "page 12", ":config", "note watermark"; may be empty */
	const char *what;
	bool done; /* no problem, but what was done about some */
};
typedef void check_say_fn(void *context, const struct check_line *line);

struct check {
	int dir_fd;
	const char *path;
	bool repair;
	bool saved_alone;  /* of saved/data.mdb, and nothing else that is repaired */
	check_say_fn *say; /* of one file the first hundred problems, and how many more there are */
	void *context;
	/* results */
	size_t problems;
	size_t in_file; /* of these, in the file at hand */
	bool doubtful; /* of what was saved last, memory.edn or the EAV store may have an older value */
};

/* 0, also where there were problems. -EINVAL: a file of another program; -ENOMEM, -EIO, -ENOSPC. */
int check_store(struct check *check, struct err *err);

#endif
