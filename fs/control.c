/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control_metrics.h"
#include "control_migrate.h"
#include "control_validate.h"
#include "health.h"
#include "memory_validate.h"
#include "metrics.h"
#include "timed.h"

/* ---- readers ---- */

static int read_mode(struct fs *fs, struct buf *out)
{
	struct memory_health health;

	memory_health(fs->memory, &health);
	buf_add_format(out, "%s\n", health.mode);
	return buf_error(out);
}

static int read_errors(struct fs *fs, struct buf *out)
{
	refusals_print_errors(fs->refusals, out);
	return buf_error(out);
}

static int read_sync(struct fs *fs, struct buf *out)
{
	struct memory_health health;

	memory_health(fs->memory, &health);
	buf_add_format(out, "%zu pending\n", health.pending);
	return buf_error(out);
}

static int read_help(struct fs *fs, struct buf *out);

/* ---- writers ---- */

static int write_mode(struct fs *fs, struct slice text, struct err *err)
{
	return memory_switch(fs->memory, text, err);
}

static int write_migrate(struct fs *fs, struct slice text, struct err *err)
{
	return memory_migrate(fs->memory, text, err);
}

static int write_validate(struct fs *fs, struct slice text, struct err *err)
{
	return memory_validate(fs->memory, text, err);
}

static int write_sync(struct fs *fs, struct slice text, struct err *err)
{
	int ret = scratch_sync(&fs->trees[TREE_SCRATCH], err);

	(void)text;
	return ret ? ret : memory_sync(fs->memory, err);
}

/* ---- the table ---- */

struct control {
	const char *name;
	const char *help;
	int (*read)(struct fs *fs, struct buf *out); /* NULL: the stream of events */
	int (*write)(struct fs *fs, struct slice text, struct err *err); /* NULL: -EACCES */
	bool slow;   /* may wait for a disk: not on a thread that others need */
	bool public; /* names no key: others than the owner may read it, as keys may be tokens */
};

static const struct control CONTROLS[] = {
	{".mode",
		"the mode; write edn-only, dual-write, datalevin-first or datalevin-only to "
		"switch,\n"
		"               or \"force datalevin-only\", which migrates first what lives only "
		"in memory.edn",
		read_mode, write_mode, .slow = true, .public = true},
	{".health", "JSON: status, reasons, counts of both stores, the last rewrite of memory.edn",
		health_print, NULL, .public = false},
	{".metrics", "counters and gauges, in Prometheus's text format", control_read_metrics, NULL,
		.public = true},
	{".events", "the last 1,000 events, a line of JSON each; grows: tail -f", NULL, NULL,
		.public = false},
	{".errors", "the last refused saves and background errors, one a line", read_errors, NULL,
		.public = false},
	{".migrate",
		"JSON: how far the migration to the EAV store is; write all, sessions, projects, "
		"learnings\n"
		"               or a key to begin one; pause, resume, stop",
		control_read_migrate, write_migrate, .slow = true},
	{".validate",
		"JSON: what the last comparison of both stores found; write run to compare, or "
		"stop",
		control_read_validate, write_validate, .public = false},
	{".sync", "what is pending; write anything to bring the stores up to now, on disk",
		read_sync, write_sync, .slow = true, .public = true},
	{".help", "this text", read_help, NULL, .public = true},
};

enum { CONTROL_COUNT = sizeof(CONTROLS) / sizeof(CONTROLS[0]) };
_Static_assert((int)CONTROL_COUNT <= (int)CONTROLS_MAX, "each has a place in struct fs");

static int read_help(struct fs *fs, struct buf *out)
{
	unsigned i;

	(void)fs;
	buf_add_str(out, "Control files of this mount (reachable, not listed):\n\n");
	for (i = 0; i < CONTROL_COUNT; i++)
		buf_add_format(out, "  %-12s %s\n", CONTROLS[i].name, CONTROLS[i].help);
	buf_add_format(out, "  %-12s %s\n", ".rejected/",
		"bytes of refused saves by path; PATH.why says why. A good save clears them");
	buf_add_format(out, "  %-12s %s\n", ".conflicts/",
		"values that lost where another writer, or the other store, had changed one as "
		"well");
	buf_add_format(out, "  %-12s %s\n", ".store/",
		"edn/ and datalevin/: each store by itself, read-only, for diff -r");
	buf_add_str(out, "\nEvery *.json is one entity, as JSON; other names are scratch files. A "
			 "save that is no\n"
			 "JSON is refused with EBADMSG (\"Bad message\") and the old content "
			 "stays. See ourofs(5).\n");
	return buf_error(out);
}

int control_find(struct slice name)
{
	int i;

	for (i = 0; i < CONTROL_COUNT; i++)
		if (slice_equal(name, slice_str(CONTROLS[i].name)))
			return i;
	return -1;
}

const char *control_name(unsigned control)
{
	return control < CONTROL_COUNT ? CONTROLS[control].name : NULL;
}

bool control_is_writable(unsigned control)
{
	return CONTROLS[control].write;
}

int control_read(struct fs *fs, unsigned control, struct buf *out)
{
	return CONTROLS[control].read(fs, out);
}

static mode_t control_mode(const struct fs *fs, unsigned control)
{
	mode_t mode = CONTROLS[control].public ? 0444 : 0400;

	if (control_is_writable(control))
		mode |= 0200;
	return mode & ~(fs->options->umask & 0777);
}

bool control_grows(unsigned control)
{
	return !CONTROLS[control].read;
}

void control_stat(struct fs *fs, unsigned control, uint64_t ino, struct stat *st)
{
	*st = (struct stat){0};
	st->st_ino = ino;
	st->st_mode = S_IFREG | control_mode(fs, control);
	st->st_nlink = 1;
	st->st_uid = fs->options->uid;
	st->st_gid = fs->options->gid;
}

/* What is refused is a line in /.errors, too: a shell's echo shows the errno alone. */
static int write_told(struct fs *fs, unsigned control, struct slice text)
{
	struct err reason = {0};
	char described[ERR_DESCRIBED];
	int ret = CONTROLS[control].write(fs, text, &reason);

	if (ret)
		refusals_log(fs->refusals, slice_str(CONTROLS[control].name),
			err_describe(&reason, described, sizeof(described)));
	return ret;
}

/* ---- slow writes, each on a thread of its own ---- */

struct slow_write {
	struct slow_write *next; /* in fs->slow, while not answered; guarded by fs->lock */
	struct fs *fs;
	unsigned control;
	uint64_t start_ns;
	fuse_req_t req;
	bool armed;       /* the interrupt may answer; guarded by fs->lock */
	bool interrupted; /* ... came before that; guarded by fs->lock */
	size_t len;
	char text[];
};

/* With fs->lock held. Whoever takes a job out of the list answers its request. */
static bool take_out(struct fs *fs, const struct slow_write *job)
{
	struct slow_write **at = &fs->slow;

	while (*at && *at != job)
		at = &(*at)->next;
	if (!*at)
		return false;
	*at = job->next;
	return true;
}

/* libfuse may call this from within fuse_req_interrupt_func, where no reply may be sent. */
static void interrupted(fuse_req_t req, void *data)
{
	struct fs *fs = data;
	struct slow_write *job;
	bool answer = false;

	pthread_mutex_lock(&fs->lock);
	for (job = fs->slow; job && job->req != req; job = job->next)
		;
	if (job && job->armed)
		answer = take_out(fs, job);
	else if (job)
		job->interrupted = true;
	pthread_mutex_unlock(&fs->lock);
	if (answer)
		fuse_reply_err(req, EINTR);
}

static void *run_slow(void *data)
{
	struct slow_write *job = data;
	struct fs *fs = job->fs;
	int ret = write_told(fs, job->control, slice_of(job->text, job->len));
	bool answer;

	metrics_operation(fs->metrics, OPERATION_write, -ret, metrics_now_ns() - job->start_ns);

	pthread_mutex_lock(&fs->lock);
	answer = take_out(fs, job);
	pthread_mutex_unlock(&fs->lock);
	if (answer && ret)
		fuse_reply_err(job->req, -ret);
	else if (answer)
		fuse_reply_write(job->req, job->len);
	free(job);
	pthread_mutex_lock(&fs->lock);
	fs->slow_threads--;
	pthread_cond_broadcast(&fs->published);
	pthread_mutex_unlock(&fs->lock);
	return NULL;
}

static int start_thread(struct slow_write *job)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attributes, run_slow, job);
	pthread_attr_destroy(&attributes);
	return -ret;
}

/* Returns 0 when the request will be, or has been, answered. */
static int start_slow(struct fs *fs, unsigned control, fuse_req_t req, struct slice text)
{
	struct slow_write *job = calloc(1, sizeof(*job) + text.len);
	int ret;

	if (!job)
		return -ENOMEM;
	job->fs = fs;
	job->control = control;
	job->req = req;
	job->len = text.len;
	memcpy(job->text, text.ptr, text.len);
	pthread_mutex_lock(&fs->lock);
	job->next = fs->slow;
	fs->slow = job;
	fs->slow_threads++;
	pthread_mutex_unlock(&fs->lock);
	/* Before the thread starts: once it runs, the request may be answered and gone. */
	fuse_req_interrupt_func(req, interrupted, fs);
	pthread_mutex_lock(&fs->lock);
	job->armed = true;
	ret = job->interrupted && take_out(fs, job) ? -EINTR : 0;
	pthread_mutex_unlock(&fs->lock);
	if (!ret) {
		job->start_ns = timed_later(req);
		ret = start_thread(job);
		if (!ret)
			return 0;
		pthread_mutex_lock(&fs->lock);
		if (!take_out(fs, job))
			ret = 0; /* interrupted: answered */
		pthread_mutex_unlock(&fs->lock);
	}
	pthread_mutex_lock(&fs->lock);
	fs->slow_threads--;
	pthread_mutex_unlock(&fs->lock);
	free(job);
	return ret;
}

void control_write(struct fs *fs, unsigned control, fuse_req_t req, struct slice text)
{
	int ret;

	if (!CONTROLS[control].write)
		ret = -EACCES;
	else if (CONTROLS[control].slow)
		ret = start_slow(fs, control, req, text);
	else
		ret = write_told(fs, control, text);
	if (ret)
		fuse_reply_err(req, -ret);
	else if (!CONTROLS[control].slow)
		fuse_reply_write(req, text.len);
}
