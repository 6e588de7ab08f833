/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MEMORY_TELLING_H
#define OUROFS_MEMORY_TELLING_H

#include <pthread.h>
#include <stdatomic.h>

#include "memory.h"

/* What memory_event.c keeps in struct memory. */

/* What can fail, each for itself: see memory_event.h. */
enum failing {
	FAILING_EDN,     /* memory.edn can't be read, merged or rewritten */
	FAILING_EAV,     /* state is EAV_FAILED */
	FAILING_SAVED,   /* the flush thread can't write saved, or trim the journal */
	FAILING_JOURNAL, /* changes can't be committed, or not be synced */
	FAILING_APPLY,   /* memory.broken */
	FAILING_WATCH,   /* memory.edn can't be watched */
	FAILING_COUNT,
};

struct failure {
	atomic_llong since_s; /* wall clock; 0: it does not */
	struct err reason;    /* guarded by memory.failing */
};

/* A damaged store was made anew. */
struct remade {
	long long since_s;        /* wall clock; 0: it was not */
	bool doubtful;            /* of what was saved last, an older value may be served */
	char text[ERR_TEXT + 64]; /* what was wrong, and where the file is that was */
};

/* What a merge had to say while there was no listener yet. */
struct early_event {
	struct early_event *next;
	struct memory_event event;
	char text[]; /* its key and its detail */
};

/* Who is told what happens. */
struct telling {
	atomic_bool heard;
	atomic_bool early;     /* until the first listener */
	pthread_rwlock_t lock; /* for reading while the listener is told */
	memory_event_fn *fn;   /* guarded by lock, as is what follows */
	void *context;
	struct early_event *events, **last; /* in order */
	unsigned events_count;
};

#endif
