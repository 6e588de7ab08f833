/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_TESTS_CALLPOINT_H
#define OUROFS_TESTS_CALLPOINT_H

/*
 * A library for LD_PRELOAD that kills a program at one of its calls, or makes that call fail.
 *
 *   OUROFS_CALLPOINT=FILE        counts into FILE (below); without it nothing happens
 *   OUROFS_CALLPOINT_COUNT=WORD  changes (those by which it changes what is on disk; where nothing is said) | calls (also
 *                                those by which it looks at it) | memory (those by which it asks for memory)
 *   OUROFS_CALLPOINT_BELOW=DIR   counts of calls on files only those below DIR, by their paths from there
 *   OUROFS_CALLPOINT_ONLY=TEXT   counts of these only those whose record (below) begins so
 *   OUROFS_CALLPOINT_START=FILE  counts from when that file is there; without it from the beginning
 *   OUROFS_CALLPOINT_END=FILE    until that file is there
 *   OUROFS_CALLPOINT_AT=N        the call that is meant; all: each of them; without it all calls are only counted
 *   OUROFS_CALLPOINT_SIDE=WORD   before | after | torn: SIGKILL there; torn is in its midst: half of what it was to
 *                                write is
 *                                short: half of what it was to read or write is
 *                                fails: nothing happens, and it says so | done: it says so, but all of it happened
 *   OUROFS_CALLPOINT_ERROR=N     with which errno it fails
 *
 * Counted are calls on regular files and directories, none on stdin, stdout and stderr, in the
 * process that was started, not in its children. FILE is an array of records of 128 bytes: the
 * first is the count and how often the call that is meant was come by (native unsigned longs), record n says what the
 * n-th call was, as "NAME FILE".
 *
 * Of memory a place is counted, not a call: where the program, LMDB or cJSON ask for memory, by all that called it. It
 * is told from others by the second word of its record, a hexadecimal number. That is what N is then: its first call
 * is meant. More words say where, as offsets in the executable or "lib".
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "preload.h"

enum { CALLPOINT_RECORD_BYTES = 128, CALLPOINT_RECORDS = 1 << 16 };

enum callpoint_kind { COUNTS_CHANGES, COUNTS_CALLS, COUNTS_MEMORY };

enum callpoint_side { SIDE_BEFORE, SIDE_AFTER, SIDE_TORN, SIDE_SHORT, SIDE_FAILS, SIDE_DONE };

/* Is anything counted now, in this process? */
bool callpoint_counts(enum callpoint_kind kind);
/*
 * The number of this call, 0 where it is not counted: then all below do nothing. On the file that fd is, or on path (where fd is a
 * directory that it is relative to, or AT_FDCWD). Does not return where it is the one and is killed before.
 */
unsigned long callpoint_enter(enum callpoint_kind kind, const char *call, int fd, const char *path);
bool callpoint_is(unsigned long number, enum callpoint_side side);
/* The call is to say that it failed, and errno is set; or it does not return. */
bool callpoint_fails(unsigned long number);
bool callpoint_leave(unsigned long number);

/* A place of this number was come by the first time: as callpoint_enter() and callpoint_fails(). */
bool callpoint_memory_fails(unsigned long place, const char *text);

#endif
