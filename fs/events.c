/* SPDX-License-Identifier: MIT */
#include "events.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lock_order.h"

struct line {
	uint64_t at; /* where it begins in the stream of all lines ever */
	size_t len;
	char *text;
};

struct events {
	pthread_mutex_t lock;           /* guards what follows, and every stream */
	struct line lines[EVENTS_KEPT]; /* a ring */
	uint64_t count;                 /* ever */
	uint64_t end;                   /* bytes ever */
	struct timespec last;           /* wall clock */
};

/* Offset o of a stream is byte from + o of all lines ever; so are these, but for `next`. */
struct event_stream {
	uint64_t from;
	uint64_t next;    /* the offset where its last read ended ... */
	bool mid_line;    /* ... and whether in the middle of a line */
	uint64_t number;  /* of the line there: how many are lost is told by it */
	uint64_t lost_at; /* what is lost: from here ... */
	uint64_t lost_to; /* ... to here, a line's begin */
	struct buf lost;  /* the line in its place, without the blanks behind it and its end */
};

int events_new(struct events **out)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return -ENOMEM;
	mutex_init(&events->lock, LOCK_EVENTS);
	*out = events;
	return 0;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		free(events->lines[i].text);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

/* ---- writing ---- */

static void add_time(struct buf *out)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	buf_add_format(out, "\"time\":\"%s.%03ldZ\"", text, now.tv_nsec / 1000000);
}

static void add_text(struct buf *out, const char *name, struct slice text)
{
	buf_add_format(out, ",\"%s\":\"", name);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '"' || c == '\\')
			buf_add_format(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_add_format(out, "\\u%04x", c);
		else
			buf_add_char(out, (char)c);
	}
	buf_add_char(out, '"');
}

static void add_error(struct buf *out, int error)
{
	const char *name = strerrorname_np(error);

	if (name)
		add_text(out, "error", slice_str(name));
	else
		buf_add_format(out, ",\"error\":%d", error);
}

static void print(struct buf *out, const struct memory_event *event)
{
	buf_add_char(out, '{');
	add_time(out);
	add_text(out, "event", slice_str(event->name));
	if (event->key.len)
		add_text(out, "key", event->key);
	if (event->mode)
		add_text(out, "mode", slice_str(event->mode));
	if (event->store)
		add_text(out, "store", slice_str(event->store));
	if (event->ret)
		add_error(out, -event->ret);
	if (event->count)
		buf_add_format(out, ",\"count\":%llu", (unsigned long long)event->count);
	if (event->duration_ms > 0)
		buf_add_format(out, ",\"duration_ms\":%.3f", event->duration_ms);
	if (event->detail.len)
		add_text(out, "detail", event->detail);
	buf_add_str(out, "}\n");
}

void events_add(struct events *events, const struct memory_event *event)
{
	struct buf text = BUF_INIT;
	struct line *line;

	print(&text, event);
	if (!buf_cstr(&text)) {
		buf_release(&text);
		return;
	}
	pthread_mutex_lock(&events->lock);
	line = &events->lines[events->count++ % EVENTS_KEPT];
	free(line->text);
	*line = (struct line){events->end, text.len, text.ptr};
	events->end += text.len;
	clock_gettime(CLOCK_REALTIME, &events->last);
	pthread_mutex_unlock(&events->lock);
}

/* ---- reading: with the lock held ---- */

static uint64_t oldest(const struct events *events)
{
	return events->count > EVENTS_KEPT ? events->count - EVENTS_KEPT : 0;
}

static const struct line *line_at(const struct events *events, uint64_t number)
{
	return &events->lines[number % EVENTS_KEPT];
}

/* Where the oldest line begins, in the stream of all. */
static uint64_t kept_from(const struct events *events)
{
	return events->count ? line_at(events, oldest(events))->at : 0;
}

/* The number of the line that holds byte `at` of all, which must be kept. */
static uint64_t find(const struct events *events, uint64_t at)
{
	uint64_t low = oldest(events), high = events->count;

	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (line_at(events, middle)->at <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static void print_lost(struct event_stream *stream, bool mid_line, uint64_t count)
{
	buf_reset(&stream->lost);
	if (mid_line)
		buf_add_char(&stream->lost, '\n');
	buf_add_char(&stream->lost, '{');
	add_time(&stream->lost);
	add_text(&stream->lost, "event", SLICE_LITERAL("events-lost"));
	buf_add_format(&stream->lost, ",\"count\":%llu}", (unsigned long long)count);
}

/* What the reader at byte `at` is to read next is gone. Where that is less than the line that says so, more goes. */
static void skip(struct events *events, struct event_stream *stream, uint64_t at)
{
	bool mid_line = stream->mid_line && at == stream->from + stream->next;
	uint64_t number = oldest(events);

	do {
		print_lost(stream, mid_line, number - stream->number);
		stream->lost_to =
			number < events->count ? line_at(events, number)->at : events->end;
	} while (stream->lost_to - at <= stream->lost.len && number++ < events->count);
	stream->lost_at = at;
	stream->number = number;
}

static void add_kept(const struct events *events, struct event_stream *stream, size_t size,
	uint64_t at, struct buf *out)
{
	uint64_t number = find(events, at);
	size_t start = (size_t)(at - line_at(events, number)->at);

	for (; number < events->count && size; number++) {
		const struct line *line = line_at(events, number);
		size_t left = line->len - start;

		stream->number = left > size ? number : number + 1;
		stream->mid_line = left > size;
		left = left > size ? size : left;
		buf_add(out, line->text + start, left);
		size -= left;
		start = 0;
		if (stream->mid_line)
			break;
	}
}

/* What was read once and is kept no more, then the line that tells of the loss. */
static void add_hole(struct event_stream *stream, size_t size, uint64_t at, struct buf *out)
{
	for (; at < stream->lost_to && size; at++, size--) {
		if (at < stream->lost_at || at + 1 == stream->lost_to)
			buf_add_char(out, '\n');
		else if (at - stream->lost_at < stream->lost.len)
			buf_add_char(out, stream->lost.ptr[at - stream->lost_at]);
		else
			buf_add_char(out, ' ');
	}
	stream->mid_line = at > stream->lost_at && at < stream->lost_to;
}

int event_stream_read(struct events *events, struct event_stream *stream, size_t size,
	uint64_t offset, struct buf *out)
{
	size_t before = out->len;
	uint64_t at = stream->from + offset;

	pthread_mutex_lock(&events->lock);
	if (at >= stream->lost_to && at < kept_from(events)) {
		if (offset == stream->next)
			skip(events, stream, at);
		else /* who goes back knows what was there */
			stream->lost_at = stream->lost_to = kept_from(events);
	}
	if (at < stream->lost_to)
		add_hole(stream, size, at, out);
	size -= out->len - before;
	at += out->len - before;
	if (size && at >= kept_from(events) && at < events->end)
		add_kept(events, stream, size, at, out);
	stream->next = offset + (out->len - before);
	pthread_mutex_unlock(&events->lock);
	return buf_error(out);
}

uint64_t event_stream_size(struct events *events, struct event_stream *stream,
	struct timespec *changed)
{
	uint64_t size;

	pthread_mutex_lock(&events->lock);
	if (events->count)
		*changed = events->last;
	size = events->end - stream->from;
	pthread_mutex_unlock(&events->lock);
	return size;
}

struct event_stream *event_stream_new(struct events *events)
{
	struct event_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	pthread_mutex_lock(&events->lock);
	stream->number = events->count > EVENTS_SHOWN ? events->count - EVENTS_SHOWN : 0;
	stream->from = events->count ? line_at(events, stream->number)->at : 0;
	pthread_mutex_unlock(&events->lock);
	return stream;
}

void event_stream_free(struct event_stream *stream)
{
	if (!stream)
		return;
	buf_release(&stream->lost);
	free(stream);
}
