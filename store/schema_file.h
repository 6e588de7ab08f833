/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SCHEMA_FILE_H
#define OUROFS_SCHEMA_FILE_H

#include "schema.h"

/*
 * The built-in patterns and, above them, those of a file (NULL: none) as the option mapping names it. Errors are
 * those of schema_add and of reading, without the file's name; -EFBIG: more than a mebibyte.
 */
int schema_open(struct schema **schema, const char *path, struct err *err);

#endif
