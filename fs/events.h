/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EVENTS_H
#define OUROFS_EVENTS_H

#include "memory.h"

/*
 * What happened lately, as lines of JSON: what /.events shows. The last EVENTS_SHOWN of them; more are kept, for
 * those who read slowly.
 *
 * A stream is one reader's view: it begins with the oldest line that is shown when it is made, and grows. Offsets
 * count from there and stay what they are, and so does each byte's offset: a size that was told is there to be
 * read. Where a reader lags behind what is kept, one line as long as what it lost says how many that were, with
 * blanks behind it; what it has read before is a hole then, of empty lines. Any thread may call anything.
 */
enum { EVENTS_SHOWN = 1000, EVENTS_KEPT = 4000 };

struct events;
struct event_stream;

int events_new(struct events **events);
void events_free(struct events *events);
void events_add(struct events *events, const struct memory_event *event);

struct event_stream *event_stream_new(struct events *events);
void event_stream_free(struct event_stream *stream);
/* changed: when the last event was, if there was one. */
uint64_t event_stream_size(struct events *events, struct event_stream *stream,
	struct timespec *changed);
/* Appends at most size bytes. Nothing: the end, for now. */
int event_stream_read(struct events *events, struct event_stream *stream, size_t size,
	uint64_t offset, struct buf *out);

#endif
