/* SPDX-License-Identifier: MIT */
#include "memory_eav.h"
#include "memory_event.h"
#include "mode_file.h"

#include <errno.h>
#include <string.h>

/*
 * Switching the mode: a barrier. The stores are brought to agree as the new mode needs them to, then the
 * switch is a record of the journal like any other change.
 *
 *	into a mode that writes the EAV store   it is opened, all of memory.edn migrated, what differs settled
 *	into datalevin-only                     refused while an entity lives only in memory.edn or differs
 *	out of datalevin-only                   memory.edn is merged as any other's file, and rewritten
 *	into edn-only                           memory.edn is brought up to now
 */

const char *memory_mode_name(struct memory *m)
{
	return mode_row((enum mode)atomic_load(&m->mode))->name;
}

int memory_run_job(struct memory *m, struct flush_job *job, struct err *err)
{
	struct err pace_err = {0};

	job->ret = -ECANCELED;
	pthread_mutex_lock(&m->flush.pace.mutex);
	m->flush.job = job;
	pthread_mutex_unlock(&m->flush.pace.mutex);
	pace_sync(&m->flush.pace, &pace_err);
	pthread_mutex_lock(&m->flush.pace.mutex);
	m->flush.job = NULL;
	pthread_mutex_unlock(&m->flush.pace.mutex);
	if (job->ret == -ECANCELED && pace_err.code)
		return err_set(err, pace_err.code, "%s", pace_err.text);
	return job->ret ? err_set(err, job->ret, "%s",
				  job->err.code ? job->err.text : strerror(-job->ret))
			: 0;
}

/* alone: it is to do without memory.edn. */
static int bring_eav_up(struct memory *m, bool migrate, bool alone, struct err *err)
{
	struct flush_job job = {.kind = JOB_BRING_UP, .migrate = migrate};
	int ret = memory_run_job(m, &job, err);

	if (!ret && alone && job.differ)
		return err_set(err, -EBUSY,
			"%zu %s larger than doc_max allows, and in memory.edn alone (%.60s)",
			job.differ, job.differ == 1 ? "entity is" : "entities are", job.first);
	return ret;
}

static int check_agreement(struct memory *m, struct err *err)
{
	struct flush_job job = {.kind = JOB_CHECK};
	int ret = memory_run_job(m, &job, err);

	if (ret)
		return err_set(err, -EBUSY, "the EAV store can't take over: %.150s",
			err ? err->text : "");
	if (job.differ)
		return err_set(err, -EBUSY,
			"%zu %s not in the EAV store as in memory.edn (%.60s): write \"all\" to "
			"/.migrate, or \"force datalevin-only\"",
			job.differ, job.differ == 1 ? "entity is" : "entities are", job.first);
	return 0;
}

/* memory.edn is whatever it is: it is merged, then rewritten. */
static int bring_edn_up(struct memory *m, struct err *err)
{
	int ret;

	pthread_rwlock_wrlock(&m->lock);
	m->edn_active = true;
	pthread_rwlock_unlock(&m->lock);
	pthread_mutex_lock(&m->work.pace.mutex);
	m->work.merge_wanted = true;
	pthread_mutex_unlock(&m->work.pace.mutex);
	ret = pace_sync(&m->work.pace, err);
	if (ret) {
		pthread_rwlock_wrlock(&m->lock);
		m->edn_active = false;
		pthread_rwlock_unlock(&m->lock);
	}
	return ret;
}

static int prepare(struct memory *m, const struct mode_row *from, const struct mode_row *to,
	bool force, struct err *err)
{
	int ret = 0;

	if (!to->writes_edn && !force)
		ret = from->writes_eav ? check_agreement(m, err)
				       : err_set(err, -EBUSY,
						 "nothing is in the EAV store as long as the mode "
						 "is edn-only: switch to "
						 "dual-write first, or write \"force "
						 "datalevin-only\"");
	if (!ret && to->writes_eav && (!from->writes_eav || !to->writes_edn))
		ret = bring_eav_up(m, true, !to->writes_edn, err);
	if (!ret && to->writes_edn && !from->writes_edn)
		ret = bring_edn_up(m, err);
	else if (!ret && !to->writes_eav)
		ret = memory_sync(m, err);
	/* memory.edn is left as it is now; where it can't be written, that is no reason to stay */
	else if (!ret && !to->writes_edn)
		pace_sync(&m->work.pace, NULL);
	return ret;
}

/* refused: as m->eav.refused was before the EAV store was brought up. */
static int commit_mode(struct memory *m, enum mode mode, unsigned long refused, uint64_t *sequence,
	struct err *err)
{
	bool alone = !mode_row(mode)->writes_edn;
	struct change c = {.kind = CHANGE_MODE, .id.key = slice_str(mode_row(mode)->name)};
	int ret;

	pthread_rwlock_wrlock(&m->lock);
	/* what it failed to take since it was brought up is in memory.edn alone */
	if (alone && atomic_load(&m->eav.state) != EAV_READY)
		ret = err_set(err, -EBUSY, "the EAV store can't take over: it failed just now");
	else if (alone && atomic_load(&m->eav.refused) != refused)
		ret = err_set(err, -EBUSY,
			"a value that is larger than doc_max allows came to memory.edn just now");
	else
		ret = memory_commit(m, &c, 1, memory_now(), err);
	m->edn_active = mode_row((enum mode)atomic_load(&m->mode))->writes_edn;
	*sequence = m->sequence;
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

int memory_switch(struct memory *m, struct slice word, struct err *err)
{
	enum mode mode;
	bool force;

	if (mode_of_word(word, &mode, &force))
		return err_set(err, -EINVAL,
			"no such mode (edn-only, dual-write, datalevin-first, datalevin-only); it "
			"stays %s",
			memory_mode_name(m));
	return memory_set_mode(m, mode, force, err);
}

static void tell_changed(struct memory *m, const struct mode_row *from, double start_ms)
{
	struct memory_event event = {.name = "mode-changed",
		.detail = slice_str(from->name),
		.duration_ms = memory_clock_ms() - start_ms};

	memory_tell(m, &event);
}

static int set_mode(struct memory *m, const struct mode_row *from, enum mode mode, bool force,
	struct err *err)
{
	struct flush_job close = {.kind = JOB_CLOSE};
	struct err later = {0};
	const struct mode_row *to = mode_row(mode);
	double start_ms = memory_clock_ms();
	unsigned long refused = atomic_load(&m->eav.refused);
	uint64_t sequence;
	int ret = prepare(m, from, to, force, err);

	if (!ret)
		ret = commit_mode(m, mode, refused, &sequence, err);
	if (!ret)
		mode_file_write(m->dir.dir_fd, mode);
	if (!ret)
		tell_changed(m, from, start_ms);
	/*
	 * What it remembers of where memory.edn had stopped is needed no more. The switch is done: a
	 * store that fails just now is brought up later.
	 */
	if (!ret && to->writes_eav && !from->writes_edn)
		bring_eav_up(m, false, false, &later);
	/* opened for nothing, or needed no more */
	if ((ret && !from->writes_eav) || (!ret && !to->writes_eav))
		memory_run_job(m, &close, NULL);
	return ret ? ret : memory_make_durable(m, sequence, err);
}

int memory_set_mode(struct memory *m, enum mode mode, bool force, struct err *err)
{
	const struct mode_row *from;
	int ret = 0;

	if (m->options.read_only)
		return err_set(err, -EROFS, "mounted read-only");
	pthread_mutex_lock(&m->switching);
	from = mode_row((enum mode)atomic_load(&m->mode));
	if (from != mode_row(mode))
		ret = set_mode(m, from, mode, force, err);
	pthread_mutex_unlock(&m->switching);
	return ret;
}
