/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CTL_MOUNT_H
#define OUROFS_CTL_MOUNT_H

#include <cjson/cJSON.h>

#include "buf.h"
#include "err.h"

/* A mount, as anyone sees it: its control files are all that is known of it. */
struct ctl_mount {
	char *root; /* absolute */
};

/* Of any path at or below a mountpoint. -ENOTCONN: its daemon is gone; -ENODEV: no mount of ourofs is there. */
int ctl_mount_find(struct ctl_mount *mount, const char *path, struct err *err);
void ctl_mount_release(struct ctl_mount *mount);

/* A control file (".health"), whole; text is appended to. */
int ctl_mount_read(const struct ctl_mount *mount, const char *name, struct buf *text,
	struct err *err);
/* The same as JSON, to be deleted. */
int ctl_mount_json(const struct ctl_mount *mount, const char *name, cJSON **json, struct err *err);
/* What the mount says to a refusal, from its .errors, is in err. */
int ctl_mount_write(const struct ctl_mount *mount, const char *name, const char *text,
	struct err *err);
/* "root/name", to free; or NULL. */
char *ctl_mount_path(const struct ctl_mount *mount, const char *name);

/* ---- what commands print ---- */

/* "1,234,567"; text has room for 32. */
const char *ctl_number(double number, char *text);
const char *ctl_bytes(double bytes, char *text); /* "1.2 MB" */
double ctl_json_number(const cJSON *json, const char *name);
/* To be printed: ctl_printable. "" where there is none. */
const char *ctl_json_text(const cJSON *json, const char *name);
void ctl_json_print(const cJSON *json);

/* ---- how far something is: ctl_progress.c ---- */

struct ctl_progress {
	bool terminal;
	size_t shown; /* columns of the line that stands there */
	double done;  /* of the last line */
	long line_ms; /* when that was */
};
void ctl_progress_begin(struct ctl_progress *progress);
/* One line on a terminal, redrawn; elsewhere a line, when there is news, at most once a second. left_s < 0: unknown. */
void ctl_progress_show(struct ctl_progress *progress, const char *what, double done, double total,
	double rate, double left_s);
void ctl_progress_end(struct ctl_progress *progress);
/* Waits a fifth of a second. True: interrupted (SIGINT). */
bool ctl_progress_pause(void);

/* Is the member of that name that text? */
bool ctl_json_is(const cJSON *json, const char *name, const char *text);
/*
 * Reads a control file until its "state" is neither running nor paused, and shows how far it is: *json is the
 * last reading. -EINTR: interrupted; what was shown is gone.
 */
struct ctl_wait {
	const char *file; /* ".migrate" */
	const char *what; /* "migrating" */
	const char *done; /* the member that counts towards "total" */
	bool quiet;
};
int ctl_wait_for_end(const struct ctl_mount *mount, const struct ctl_wait *wait, cJSON **json,
	struct err *err);
/* As an interrupt ends a program that does not heed it. */
void ctl_interrupted(void);

#endif
