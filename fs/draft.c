/* SPDX-License-Identifier: MIT */
#include "draft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lock_order.h"

struct version *version_new(void)
{
	struct version *version = calloc(1, sizeof(*version));

	if (version)
		version->refs = 1;
	return version;
}

struct version *version_ref(struct version *version)
{
	version->refs++;
	return version;
}

void version_unref(struct version *version)
{
	if (!version || --version->refs)
		return;
	buf_release(&version->bytes);
	free(version);
}

struct draft *draft_new(pid_t opener, struct draft_room *room)
{
	struct draft *draft = calloc(1, sizeof(*draft));

	if (!draft)
		return NULL;
	if (mutex_init(&draft->lock, LOCK_DRAFT)) {
		free(draft);
		return NULL;
	}
	draft->refs = 1;
	draft->opener = opener;
	draft->room = room;
	return draft;
}

/* What it has taken or given back since. */
static void charge(struct draft *draft)
{
	draft->room->used += draft->bytes.cap - draft->charged;
	draft->charged = draft->bytes.cap;
}

/* May it take so much more? Others may take it at the same time, each once. */
static bool has_room(const struct draft *draft, size_t more)
{
	size_t used = draft->room->used;

	return used <= draft->room->all && more <= draft->room->all - used;
}

int draft_fill(struct draft *draft, struct buf *bytes)
{
	if (!has_room(draft, bytes->cap)) {
		buf_release(bytes);
		return -ENOSPC;
	}
	buf_release(&draft->bytes);
	draft->bytes = *bytes;
	*bytes = BUF_INIT;
	charge(draft);
	return 0;
}

struct draft *draft_ref(struct draft *draft)
{
	draft->refs++;
	return draft;
}

void draft_unref(struct draft *draft)
{
	if (!draft || --draft->refs)
		return;
	pthread_mutex_destroy(&draft->lock);
	buf_release(&draft->bytes);
	charge(draft);
	free(draft);
}

static void changed(struct draft *draft, pid_t writer)
{
	unsigned i;

	clock_gettime(CLOCK_REALTIME, &draft->written);
	draft->attributes.has_mtime = false;
	draft->dirty = true;
	draft->only_truncated = false;
	draft->judged = false;
	atomic_store(&draft->told, false);
	for (i = 0; i < draft->writer_count && i < DRAFT_WRITERS; i++)
		if (draft->writers[i] == writer)
			return;
	if (draft->writer_count < DRAFT_WRITERS)
		draft->writers[draft->writer_count] = writer;
	if (draft->writer_count <= DRAFT_WRITERS)
		draft->writer_count++;
}

/* Bytes between the old end and the new one are zeros, as POSIX has it. */
static int resize(struct draft *draft, size_t size)
{
	size_t old = draft->bytes.len;

	if (size > draft->room->each)
		return -EFBIG;
	if (size > old) {
		char *to;

		if (size > draft->bytes.cap && !has_room(draft, size - draft->bytes.cap))
			return -ENOSPC;
		to = buf_reserve(&draft->bytes, size - old);
		charge(draft);
		if (!to) {
			draft->bytes.failed = false;
			return -ENOMEM;
		}
		memset(to, 0, size - old);
	}
	draft->bytes.len = size;
	return 0;
}

int draft_write(struct draft *draft, pid_t writer, const void *bytes, size_t len, off_t offset,
	bool append)
{
	size_t max = draft->room->each;
	size_t start;
	int ret = 0;

	pthread_mutex_lock(&draft->lock);
	start = append ? draft->bytes.len : (size_t)offset;
	if (start > max || len > max - start) {
		draft->cut = true;
		ret = -EFBIG;
	} else if (start + len > draft->bytes.len) {
		ret = resize(draft, start + len);
	}
	if (!ret && len) {
		memcpy(draft->bytes.ptr + start, bytes, len);
		changed(draft, writer);
	}
	pthread_mutex_unlock(&draft->lock);
	return ret;
}

int draft_truncate(struct draft *draft, pid_t writer, off_t size)
{
	int ret;

	if (size < 0)
		return -EINVAL;
	pthread_mutex_lock(&draft->lock);
	ret = resize(draft, (size_t)size);
	if (!ret) {
		draft->cut = false;
		changed(draft, writer);
	}
	pthread_mutex_unlock(&draft->lock);
	return ret;
}

int draft_read(struct draft *draft, size_t len, off_t offset, struct buf *out)
{
	pthread_mutex_lock(&draft->lock);
	if (offset >= 0 && (size_t)offset < draft->bytes.len) {
		size_t left = draft->bytes.len - (size_t)offset;

		buf_add(out, draft->bytes.ptr + offset, len < left ? len : left);
	}
	pthread_mutex_unlock(&draft->lock);
	return buf_error(out);
}

static bool thread_exists(pid_t thread)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)thread);
	return access(path, F_OK) == 0;
}

bool same_process(pid_t thread, pid_t other)
{
	char path[64];

	if (thread == other)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)thread, (int)other);
	return access(path, F_OK) == 0;
}

bool draft_written_by(const struct draft *draft, pid_t thread)
{
	unsigned i;

	if (draft->writer_count > DRAFT_WRITERS)
		return true;
	for (i = 0; i < draft->writer_count; i++)
		if (same_process(thread, draft->writers[i]))
			return true;
	return false;
}

bool draft_opened_by(const struct draft *draft, pid_t thread)
{
	if (same_process(thread, draft->opener))
		return true;
	/* The opening thread has ended: who alone has written stands in for it. */
	return draft->writer_count == 1 && same_process(thread, draft->writers[0]) &&
	       !thread_exists(draft->opener);
}
