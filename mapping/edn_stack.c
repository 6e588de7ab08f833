/* SPDX-License-Identifier: MIT */
#include "edn_stack.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_CAP = 64, LARGE = 1 << 16 };

void edn_stack_release(struct edn_stack *stack)
{
	if (stack->values != stack->own)
		free(stack->values);
	stack->values = NULL;
}

int edn_stack_grow(struct edn_stack *stack)
{
	size_t cap = stack->cap ? stack->cap * 2 : FIRST_CAP;
	struct edn *grown;

	if (!edn_stack_room(stack))
		return -EFBIG;
	if (cap > SIZE_MAX / 2 / sizeof(*grown))
		return -ENOMEM;
	grown = realloc(stack->values == stack->own ? NULL : stack->values, cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	if (stack->values == stack->own && stack->count)
		memcpy(grown, stack->own, stack->count * sizeof(*grown));
	stack->values = grown;
	stack->cap = cap;
	return 0;
}

/* Its first values go on on a new stack. */
static int give_away(struct edn_stack *stack, size_t first, struct arena *arena)
{
	size_t cap = first + FIRST_CAP;
	struct edn *rest = malloc(cap * sizeof(*rest));

	if (!rest)
		return -ENOMEM;
	if (!arena_adopt(arena, stack->values)) {
		free(rest);
		return -ENOMEM;
	}
	memcpy(rest, stack->values, first * sizeof(*rest));
	stack->values = rest;
	stack->cap = cap;
	return 0;
}

int edn_stack_take(struct edn_stack *stack, size_t first, struct arena *arena,
	const struct edn **items)
{
	size_t count = stack->count - first;
	struct edn *from;
	int ret = 0;

	*items = NULL;
	if (stack->taken + stack->count > stack->max)
		return -EFBIG;
	if (!count)
		return 0;
	from = stack->values + first;
	if (count >= LARGE && count >= first) {
		ret = give_away(stack, first, arena);
		*items = from;
	} else {
		*items = arena_copy(arena, from, count * sizeof(*from));
		ret = *items ? 0 : -ENOMEM;
	}
	if (!ret) {
		stack->count = first;
		stack->taken += count;
	}
	return ret;
}

int edn_stack_fail(const struct edn_stack *stack, int ret, struct err *err)
{
	if (ret == -EFBIG)
		return err_set(err, ret, "more than %zu values", stack->max);
	return err_set(err, ret, "out of memory");
}
