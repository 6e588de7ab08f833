/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_TESTS_PRELOAD_H
#define OUROFS_TESTS_PRELOAD_H

/* What libraries for LD_PRELOAD have in common. */
#include <dlfcn.h>
#include <stdlib.h>

static inline void *preload_next_of(const char *name)
{
	void *next = dlsym(RTLD_NEXT, name);

	if (!next)
		abort();
	return next;
}

/* Declares next: the function that this one stands before. */
#define NEXT(type, name, params) \
	type(*next) params;      \
	*(void **)&next = preload_next_of(#name)

#endif
