/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CHECK_EDN_H
#define OUROFS_CHECK_EDN_H

#include "check.h"

/*
 * Would Ouroboros's (clojure.edn/read-string s) read this file, and all of it? Problems have "LINE:COLUMN" as
 * where, and say what is to be done. What ends the reading is the last one that is found. 0; -ENOENT and the like.
 */
int check_edn_file(const char *path, check_say_fn *say, void *context, size_t *problems,
	struct err *err);

#endif
