/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONTROL_JSON_H
#define OUROFS_CONTROL_JSON_H

#include <time.h>

#include <cjson/cJSON.h>

#include "buf.h"

/*
 * What control files that are JSON have in common. cJSON leaves out what it has no memory for: control_json_new begins a
 * text, and control_json_print, on the same thread, gives none that lacks anything.
 */

/* Once, before there are threads. */
void control_json_init(void);
/* An object, the root. NULL: no memory. */
cJSON *control_json_new(void);

/* "2026-01-31T12:00:00Z", or null for 0. */
void control_json_time(cJSON *to, const char *name, struct timespec time);
/* null where it is empty */
void control_json_text(cJSON *to, const char *name, const char *text);
/* Appends root (NULL: -ENOMEM) and a newline, and frees it. */
int control_json_print(cJSON *root, struct buf *out);

#endif
