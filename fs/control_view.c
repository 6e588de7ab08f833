/* SPDX-License-Identifier: MIT */
/* What one looks at in a control file: the text of one moment, or a stream that grows. */
#include <errno.h>

#include "control.h"
#include "events.h"
#include "hash.h"

/*
 * fstat(2) comes without its handle, so what is seen belongs to the node, and LOOKUP gives a new node while
 * the last one is open: size and bytes are those of one moment. What nobody has open is taken anew each
 * time that it is looked up.
 */
struct seen {
	struct version *text; /* referenced */
	struct event_stream *stream;
};

/* A text has the time at which it was first seen to be so: what archives and copies it sees no change then. */
static void set_time(struct fs *fs, const struct node *node, struct version *text)
{
	struct control_seen *last = &fs->seen[node_control(node)];
	struct hash128 hash = hash128(text->bytes.ptr, text->bytes.len);

	pthread_mutex_lock(&fs->lock);
	if (!last->time.tv_sec || !hash128_equal(last->hash, hash)) {
		clock_gettime(CLOCK_REALTIME, &last->time);
		last->hash = hash;
	}
	text->st.mtime = last->time;
	pthread_mutex_unlock(&fs->lock);
}

static int look(struct fs *fs, const struct node *node, struct seen *seen)
{
	int ret;

	*seen = (struct seen){0};
	if (control_grows(node_control(node))) {
		seen->stream = event_stream_new(fs->events);
		return seen->stream ? 0 : -ENOMEM;
	}
	seen->text = version_new();
	ret = seen->text ? control_read(fs, node_control(node), &seen->text->bytes) : -ENOMEM;
	if (ret) {
		version_unref(seen->text);
		seen->text = NULL;
		return ret;
	}
	set_time(fs, node, seen->text);
	return 0;
}

/* With fs->lock held: seen takes what is not needed. */
static void put(struct node *node, struct seen *seen, bool anew)
{
	struct seen before = {node->pinned, node->stream};

	if ((before.text || before.stream) && (!anew || node->handles))
		return;
	node->pinned = seen->text;
	node->stream = seen->stream;
	*seen = before;
}

static void release(struct seen *seen)
{
	version_unref(seen->text);
	event_stream_free(seen->stream);
}

static void set_stat(struct fs *fs, const struct version *text, struct event_stream *stream,
	struct stat *st)
{
	struct timespec time = fs->started;

	if (stream)
		st->st_size = (off_t)event_stream_size(fs->events, stream, &time);
	else
		st->st_size = (off_t)text->bytes.len;
	if (text)
		time = text->st.mtime;
	st->st_blocks = (st->st_size + 511) / 512;
	st->st_mtim = st->st_atim = st->st_ctim = time;
}

int control_enter(struct fs *fs, struct node *node, struct stat *st)
{
	struct seen seen;
	int ret = look(fs, node, &seen);

	if (ret)
		return ret;
	pthread_mutex_lock(&fs->lock);
	put(node, &seen, true);
	set_stat(fs, node->pinned, node->stream, st);
	pthread_mutex_unlock(&fs->lock);
	release(&seen);
	return 0;
}

int control_node_stat(struct fs *fs, const struct node *node, struct stat *st)
{
	struct seen seen;
	bool known;
	int ret;

	pthread_mutex_lock(&fs->lock);
	known = node->pinned || node->stream;
	if (known)
		set_stat(fs, node->pinned, node->stream, st);
	pthread_mutex_unlock(&fs->lock);
	if (known)
		return 0;
	ret = look(fs, node, &seen);
	if (ret)
		return ret;
	set_stat(fs, seen.text, seen.stream, st);
	release(&seen);
	return 0;
}

int control_open(struct fs *fs, struct node *node, struct handle *handle)
{
	struct seen seen = {0};
	bool known;
	int ret = 0;

	if (handle->writable && !control_is_writable(node_control(node)))
		return -EACCES;
	pthread_mutex_lock(&fs->lock);
	known = node->pinned || node->stream;
	if (known)
		handle_attach(fs, handle, node, NULL);
	pthread_mutex_unlock(&fs->lock);
	/* closed, and opened once more without its name */
	if (!known)
		ret = look(fs, node, &seen);
	if (ret)
		return ret;
	pthread_mutex_lock(&fs->lock);
	if (!known) {
		put(node, &seen, false);
		handle_attach(fs, handle, node, NULL);
	}
	if (handle->readable && node->pinned)
		handle->snapshot = version_ref(node->pinned);
	pthread_mutex_unlock(&fs->lock);
	release(&seen);
	return 0;
}

int control_read_handle(struct fs *fs, struct handle *handle, size_t size, off_t offset,
	struct buf *out)
{
	if (handle->node->stream)
		return event_stream_read(fs->events, handle->node->stream, size, (uint64_t)offset,
			out);
	if (handle->snapshot && (size_t)offset < handle->snapshot->bytes.len) {
		size_t left = handle->snapshot->bytes.len - (size_t)offset;

		buf_add(out, handle->snapshot->bytes.ptr + offset, left < size ? left : size);
	}
	return buf_error(out);
}
