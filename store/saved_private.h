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

#endif
