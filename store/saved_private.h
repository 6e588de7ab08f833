/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_SAVED_PRIVATE_H
#define OUROFS_SAVED_PRIVATE_H

#include "env.h"
#include "saved.h"

struct saved {
	struct env env;
	MDB_dbi documents;
	MDB_dbi notes;
};

/*
 * What a row of "documents" says: 0 or -EIO. name is the whole one, and where the row is damaged, what there is of
 * it in the key, or empty.
 */
int saved_decode(MDB_val key, MDB_val val, struct slice *name, struct saved_record *record);

#endif
