/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_TABLE_H
#define OUROFS_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

/*
 * A hash table from bytes to a pointer of the caller's. Keys are copied, values are not touched.
 * A zeroed table is ready for use. Readers may share it; a writer needs it alone.
 *
 *	struct table t = {0};
 *	table_put(&t, key, value, &old);	// 0 or -ENOMEM, then nothing changed
 *	value = table_get(&t, key);		// NULL: not there
 *	value = table_remove(&t, key);
 *	for (size_t i = 0; table_next(&t, &i, &key, &value);)
 *		...
 *
 * table_next walks in no order; while it does, only values may change.
 */
struct table {
	struct table_entry **slots;
	size_t cap; /* a power of two, or 0 */
	size_t count;
};

void *table_get(const struct table *table, struct slice key);
/* value must not be NULL; old (may be NULL) gets what was there before, or NULL. */
int table_put(struct table *table, struct slice key, void *value, void **old);
void *table_remove(struct table *table, struct slice key);
bool table_next(const struct table *table, size_t *at, struct slice *key, void **value);
/* Frees keys and slots; free_value (may be NULL) is called once a value. */
void table_release(struct table *table, void (*free_value)(void *value));

#endif
