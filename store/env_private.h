/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_ENV_PRIVATE_H
#define OUROFS_ENV_PRIVATE_H

#include "env.h"

/* Between env.c, env_open.c and env_compact.c. */

/* The file is as it is by our own doing. With write_lock held, or where nobody else knows it. */
void env_note_own(struct env *env);
/* Is it still? The same. */
bool env_is_own(const struct env *env);
/* Nothing has gone wrong with it. */
bool env_is_whole(const struct env *env);
/* Closes what LMDB has. With write_lock and map_lock held alone, or where nobody else knows it. */
void env_detach(struct env *env);
/*
 * Closes and opens it again, with the same. Where that fails it is lost, until it is tried again. look: something went
 * wrong, so that what is there has to be examined first.
 */
int env_reopen(struct env *env, bool look, struct err *err);

/* What is to take data.mdb's place; left by a kill, it goes when that is opened. */
#define ENV_COMPACTED "data.mdb.compacted"

#endif
