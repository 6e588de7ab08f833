/* SPDX-License-Identifier: MIT */
#include "memory_event.h"
#include "memory_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is taken over from someone else, and telling the listener what that may have changed. */

/* Of more, the listener may as well look at all that is known. */
enum { PATHS_MAX_BYTES = 4 << 20 };

static void note_path(struct memory *m, struct entity_id id, bool directory)
{
	m->adopted_anywhere |= memory_id_path(m, id, directory, &m->adopted) != 0;
	buf_add_char(&m->adopted, '\0');
	m->adopted_anywhere |= m->adopted.len > PATHS_MAX_BYTES;
}

/* A key's document may have become a directory, or the other way around. */
static void note_change(struct memory *m, const struct change *c)
{
	switch (c->kind) {
	case CHANGE_PUT:
	case CHANGE_DELETE:
	case CHANGE_COLLECTION:
	case CHANGE_UNKEY:
		note_path(m, c->id, false);
		if (!c->id.member.ptr)
			note_path(m, c->id, true);
		break;
	case CHANGE_BASE:
	case CHANGE_EPOCH:
		break; /* nothing that is seen */
	default:
		m->adopted_anywhere = true;
	}
}

static void note_payload(struct memory *m, struct slice rest)
{
	struct change c;

	while (rest.len && !m->adopted_anywhere) {
		if (change_decode(&rest, &c))
			m->adopted_anywhere = true;
		else
			note_change(m, &c);
	}
}

int memory_adopt_payload(struct memory *m, const struct buf *payload, struct err *err)
{
	int ret;

	if (!payload->len && !buf_error(payload))
		return 0;
	ret = memory_commit_payload(m, JOURNAL_ADOPTION, payload, memory_now(), err);
	if (!ret)
		note_payload(m, buf_slice(payload));
	return ret;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int sort_paths(struct memory *m)
{
	struct slice rest = buf_slice(&m->adopted);
	struct buf sorted = BUF_INIT;
	const char **at = NULL;
	size_t count = 0;
	int ret = buf_error(&m->adopted);

	if (ret)
		return ret;
	for (size_t i = 0; i < m->adopted.len; i++)
		count += !m->adopted.ptr[i];
	at = calloc(count + 1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	for (size_t i = 0; rest.len; i++)
		at[i] = slice_cut_string(&rest).ptr;
	qsort(at, count, sizeof(*at), compare);
	for (size_t i = 0; i < count; i++)
		if (!i || strcmp(at[i], at[i - 1]) != 0)
			buf_add(&sorted, at[i], strlen(at[i]) + 1);
	free(at);
	ret = buf_error(&sorted);
	buf_release(&m->adopted);
	m->adopted = sorted;
	return ret;
}

/* With adoption_lock held. */
static void tell(struct memory *m, enum memory_adoption phase)
{
	const struct slice paths = buf_slice(&m->adopted);
	bool anywhere = m->adopted_anywhere || buf_error(&m->adopted);

	if (m->adoption)
		m->adoption(m->adoption_context, phase, anywhere ? NULL : &paths);
}

int memory_adopt(struct memory *m, memory_adopt_fn *fn, void *context, struct err *err)
{
	int ret;

	pthread_mutex_lock(&m->adoption_lock);
	/* the listener may look at all that is known, and nothing is opened meanwhile: the caller trims behind it */
	memory_resident_tend(m, true);
	tell(m, MEMORY_ADOPTION_BEGINS);
	pthread_rwlock_wrlock(&m->lock);
	ret = fn(context, err);
	pthread_rwlock_unlock(&m->lock);
	/* some of it may have happened */
	m->adopted_anywhere = ret || m->adopted_anywhere || sort_paths(m);
	tell(m, MEMORY_ADOPTION_ENDS);
	buf_release(&m->adopted);
	m->adopted_anywhere = false;
	memory_resident_tend(m, false);
	pthread_mutex_unlock(&m->adoption_lock);
	return ret;
}

void memory_on_adoption(struct memory *m, memory_adoption_fn *fn, void *context)
{
	pthread_mutex_lock(&m->adoption_lock);
	m->adoption = fn;
	m->adoption_context = context;
	pthread_mutex_unlock(&m->adoption_lock);
}
