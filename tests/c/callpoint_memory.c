/* SPDX-License-Identifier: MIT */
/*
 * The calls that ask for memory. libc's own, and those of libfuse, which gives up without, are not meant: told by where
 * a call returns to.
 */
#include "callpoint.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MODULES_MAX = 3, FRAMES_MAX = 24, FRAMES_TOLD = 7, PLACES = 1 << 16 };

/* The first is the program. */
static struct module {
	uintptr_t from, to;
} modules[MODULES_MAX];
static int module_count;

static atomic_ulong places[PLACES]; /* that were come by: a hash table */
static _Thread_local bool busy;     /* the call is our own */

/* ---- where ---- */

static int add_module(struct dl_phdr_info *info, size_t size, void *context)
{
	(void)size;
	(void)context;
	if (module_count && !strstr(info->dlpi_name, "liblmdb") &&
		!strstr(info->dlpi_name, "libcjson"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum && module_count < MODULES_MAX; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type == PT_LOAD && (part->p_flags & PF_X)) {
			uintptr_t at = info->dlpi_addr + part->p_vaddr;

			modules[module_count++] = (struct module){at, at + part->p_memsz};
			break;
		}
	}
	return 0;
}

__attribute__((constructor)) static void prepare(void)
{
	void *frames[2];

	busy = true;
	backtrace(frames, 2); /* the first one loads a library */
	dl_iterate_phdr(add_module, NULL);
	busy = false;
}

static bool is_in(int module, const void *at)
{
	return module < module_count && (uintptr_t)at >= modules[module].from &&
	       (uintptr_t)at < modules[module].to;
}

static bool is_meant(const void *caller)
{
	for (int i = 0; i < module_count; i++)
		if (is_in(i, caller))
			return true;
	return false;
}

static bool is_new(unsigned long place)
{
	for (size_t i = place % PLACES;; i = (i + 1) % PLACES) {
		unsigned long there = 0;

		if (atomic_compare_exchange_strong(&places[i], &there, place))
			return true;
		if (there == place)
			return false;
	}
}

/* FNV-1a over the frames that are the program's, as offsets: the same in each run. */
static unsigned long place_of(void *const *frames, int count, char *text, size_t size)
{
	unsigned long hash = 0xcbf29ce484222325;
	size_t len = 0;
	int told = 0;

	text[0] = '\0';
	for (int i = 0; i < count && told < FRAMES_TOLD; i++) {
		uintptr_t offset = (uintptr_t)frames[i] - modules[0].from;

		if (!is_meant(frames[i]))
			continue;
		if (!is_in(0, frames[i]))
			offset = 0;
		hash = (hash ^ offset) * 0x100000001b3;
		told++;
		if (len < size)
			len += (size_t)snprintf(text + len, size - len, offset ? " %lx" : " lib",
				(unsigned long)offset);
	}
	return hash | 1;
}

/* Does the call that returns to caller fail? */
static bool runs_out(const char *call, const void *caller)
{
	char where[CALLPOINT_RECORD_BYTES], text[CALLPOINT_RECORD_BYTES];
	void *frames[FRAMES_MAX];
	unsigned long place;
	bool fails = false;

	if (busy || !is_meant(caller) || !callpoint_counts(COUNTS_MEMORY))
		return false;
	busy = true;
	place = place_of(frames, backtrace(frames, FRAMES_MAX), where, sizeof(where));
	if (is_new(place)) {
		snprintf(text, sizeof(text), "%s %lx%.80s", call, place, where);
		fails = callpoint_memory_fails(place, text);
	}
	busy = false;
	return fails;
}

/* ---- the calls ---- */

void *__libc_malloc(size_t size);               /* NOLINT(bugprone-reserved-identifier) */
void *__libc_calloc(size_t count, size_t size); /* NOLINT(bugprone-reserved-identifier) */
void *__libc_realloc(void *at, size_t size);    /* NOLINT(bugprone-reserved-identifier) */

void *malloc(size_t size)
{
	return runs_out("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return runs_out("calloc", __builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
	return runs_out("realloc", __builtin_return_address(0)) ? NULL : __libc_realloc(at, size);
}

#define ALLOCATES(type, failure, name, params, arguments)                                       \
	type name params                                                                        \
	{                                                                                       \
		NEXT(type, name, params);                                                       \
		return runs_out(#name, __builtin_return_address(0)) ? failure : next arguments; \
	}

ALLOCATES(void *, NULL, reallocarray, (void *at, size_t count, size_t size), (at, count, size))
ALLOCATES(void *, NULL, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
ALLOCATES(int, errno, posix_memalign, (void **to, size_t alignment, size_t size),
	(to, alignment, size))
ALLOCATES(char *, NULL, strdup, (const char *text), (text))
ALLOCATES(char *, NULL, strndup, (const char *text, size_t most), (text, most))
ALLOCATES(char *, NULL, realpath, (const char *path, char *to), (path, to))
ALLOCATES(DIR *, NULL, fdopendir, (int fd), (fd))
ALLOCATES(FILE *, NULL, fdopen, (int fd, const char *mode), (fd, mode))
ALLOCATES(FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode))
ALLOCATES(FILE *, NULL, open_memstream, (char **to, size_t *size), (to, size))
ALLOCATES(int, errno, pthread_key_create, (pthread_key_t * key, void (*drop)(void *)), (key, drop))
ALLOCATES(int, errno, pthread_create,
	(pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context),
	(thread, attributes, run, context))
