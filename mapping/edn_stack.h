/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EDN_STACK_H
#define OUROFS_EDN_STACK_H

#include "edn.h"

/*
 * The values of all collections that a reader has open, outermost first. Internal to the readers.
 *
 * A collection's values begin where the stack was when it was opened, and leave as its items when it closes. It may begin
 * in storage of the reader's own, which costs no allocation. A document takes its 16 bytes a value once: where the
 * items are most of a large stack, they are not copied to the arena; it gets the stack.
 */
struct edn_stack {
	struct edn *values;
	struct edn *own; /* the reader's storage, or NULL */
	size_t count;
	size_t cap;
	size_t taken; /* items of the document that are not on it any more, or never were */
	size_t max;   /* values that a document may have, SIZE_MAX for any number */
};

void edn_stack_release(struct edn_stack *stack);
/* -ENOMEM; -EFBIG where max is passed, which is noticed when it grows or gives items away. */
int edn_stack_grow(struct edn_stack *stack);
static inline int edn_stack_push(struct edn_stack *stack, const struct edn *value)
{
	int ret = stack->count == stack->cap ? edn_stack_grow(stack) : 0;

	if (!ret)
		stack->values[stack->count++] = *value;
	return ret;
}

/* How many more values may come, those not noticed yet aside. */
static inline size_t edn_stack_room(const struct edn_stack *stack)
{
	size_t used = stack->taken + stack->count;

	return used < stack->max ? stack->max - used : 0;
}

/* The values from first on are items in the arena, and off the stack: NULL for none. -ENOMEM, -EFBIG. */
int edn_stack_take(struct edn_stack *stack, size_t first, struct arena *arena,
	const struct edn **items);
/* Says why one of the two failed. Returns ret. */
int edn_stack_fail(const struct edn_stack *stack, int ret, struct err *err);

#endif
