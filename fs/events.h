/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_EVENTS_H
#define OUROFS_EVENTS_H

#include "memory.h"

/*
 * What happened lately, as lines of JSON: what /.events shows. The last EVENTS_KEPT are kept.
 *
 * A stream is one reader's view: it begins with the oldest line there is when it is made, and grows. Offsets count
 * from there and stay what they are. Where a reader lags behind what is kept, one line says how many it
 * lost, and it goes on with the oldest; the offsets before that line are a hole then, which reads as empty
 * lines. Any thread may call anything.
 */
enum { EVENTS_KEPT = 1000 };

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
