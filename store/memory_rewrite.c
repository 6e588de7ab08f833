/* SPDX-License-Identifier: MIT */
#include "memory_rewrite.h"
#include "memory_event.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int memory_note_file(struct memory *m, const char *name, struct hash128 hash, uint64_t sequence,
	struct err *err)
{
	struct memory_file_note note = {.hash = hash, .sequence = sequence};
	struct saved_note notes[] = {{name, slice_of(&note, sizeof(note))},
		{"first_seen", slice_of(&m->first_seen, sizeof(m->first_seen))}};
	struct stat st;

	/* the stat is no more than a short cut: the hash decides */
	if (stat(m->edn_path, &st) == 0) {
		note.device = st.st_dev;
		note.ino = st.st_ino;
		note.size = (uint64_t)st.st_size;
		note.seconds = st.st_mtim.tv_sec;
		note.nanoseconds = st.st_mtim.tv_nsec;
	}
	if (!strcmp(name, "file"))
		m->work.file = note;
	return m->options.read_only ? 0 : saved_write(m->saved, NULL, 0, notes, 2, err);
}

struct rewrite {
	struct ednfile_snapshot *snapshot; /* NULL: there is nothing to write */
	uint64_t sequence, edn_sequence;
	uint64_t changes;
};

static int take(struct memory *m, struct rewrite *r)
{
	int ret = m->broken;

	pthread_rwlock_wrlock(&m->lock);
	if (!ret && (m->edn_sequence > m->edn_written || m->rewrite_wanted)) {
		ret = memory_flush_ghosts(m);
		if (!ret)
			ret = ednfile_rewrite_begin(m->file, &r->snapshot);
	}
	if (r->snapshot) {
		r->changes = m->changes_in_flight = m->changes;
		m->changes = 0;
	}
	r->sequence = m->sequence;
	r->edn_sequence = m->edn_sequence;
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

static void finish(struct memory *m, struct rewrite *r, int ret)
{
	pthread_rwlock_wrlock(&m->lock);
	ednfile_rewrite_end(m->file, r->snapshot);
	if (ret) {
		m->changes += m->changes_in_flight;
	} else {
		m->edn_written = r->edn_sequence;
		m->rewrite_wanted = false;
	}
	m->changes_in_flight = 0;
	pthread_rwlock_unlock(&m->lock);
}

static void count(struct memory *m, double start_ms, uint64_t changes, int ret)
{
	struct work *w = &m->work;
	const struct memory_event event = {.name = "edn-rewritten",
		.store = "edn",
		.count = changes,
		.duration_ms = memory_clock_ms() - start_ms};

	pthread_mutex_lock(&w->pace.mutex);
	w->last_rewrite_ms = event.duration_ms;
	w->last_rewrite = memory_now();
	w->rewrites += !ret;
	pthread_mutex_unlock(&w->pace.mutex);
	if (!ret)
		memory_tell(m, &event);
}

int memory_rewrite(struct memory *m, bool insist, struct err *err)
{
	struct ednfile_replaced replaced = {.fd = -1};
	struct err sync_err = {0};
	struct rewrite r = {0};
	struct hash128 hash;
	double start_ms = memory_clock_ms();
	int ret = m->options.read_only ? 0 : take(m, &r);

	if (ret || !r.snapshot)
		return ret;
	ret = ednfile_rewrite_write(m->file, r.snapshot, &hash, err);
	if (!ret) {
		/* where these two fail, memory.edn is still the better place; a kill then finds a file of a
		 * stranger's that holds nothing but our own values */
		journal_sync(m->journal, r.sequence, &sync_err);
		memory_note_file(m, "intent", hash, r.sequence, &sync_err);
		ret = ednfile_rewrite_commit(m->file, r.snapshot, insist, &replaced, err);
	}
	finish(m, &r, ret);
	if (replaced.fd >= 0)
		replaced_add(m, &replaced);
	if (ret == -EAGAIN)
		return ret;
	count(m, start_ms, r.changes, ret);
	return ret ? ret : memory_note_file(m, "file", hash, r.sequence, err);
}
