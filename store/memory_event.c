/* SPDX-License-Identifier: MIT */
#include "memory_event.h"
#include "lock_order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double memory_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* ---- telling ---- */

enum { EARLY_CONFLICTS_MAX = 100 /* as many as /.errors keeps */, EARLY_MAX = 120 };

void memory_telling_init(struct telling *telling)
{
	rwlock_init(&telling->lock, LOCK_TELLING);
	atomic_store(&telling->early, true);
	telling->last = &telling->events;
}

static void free_early(struct early_event *events)
{
	while (events) {
		struct early_event *next = events->next;

		free(events);
		events = next;
	}
}

void memory_telling_release(struct telling *telling)
{
	free_early(telling->events);
	pthread_rwlock_destroy(&telling->lock);
}

static bool is_told_early(struct memory *m, const char *name)
{
	return atomic_load(&m->telling.early) &&
	       (!strcmp(name, "outside-change") || !strcmp(name, "conflict"));
}

static struct early_event *early_event_new(const struct memory_event *event)
{
	struct slice key = event->key, detail = event->detail;
	struct early_event *early = malloc(sizeof(*early) + key.len + detail.len);

	if (!early)
		return NULL;
	*early = (struct early_event){.event = *event};
	if (key.len)
		memcpy(early->text, key.ptr, key.len);
	if (detail.len)
		memcpy(early->text + key.len, detail.ptr, detail.len);
	early->event.key = slice_of(early->text, key.len);
	early->event.detail = slice_of(early->text + key.len, detail.len);
	return early;
}

/*
 * A merge may have any number of conflicts; what it came to is told behind them. Without memory for an event it is not told,
 * only that. False: someone listens by now.
 */
static bool keep_early(struct telling *telling, const struct memory_event *event)
{
	unsigned most = strcmp(event->name, "conflict") ? EARLY_MAX : EARLY_CONFLICTS_MAX;
	struct early_event *early;
	bool is_early;

	pthread_rwlock_wrlock(&telling->lock);
	is_early = atomic_load(&telling->early);
	early = is_early && telling->events_count < most ? early_event_new(event) : NULL;
	if (early) {
		*telling->last = early;
		telling->last = &early->next;
		telling->events_count++;
	}
	pthread_rwlock_unlock(&telling->lock);
	return is_early;
}

void memory_tell(struct memory *m, const struct memory_event *event)
{
	struct memory_event told = *event;

	if (!told.mode)
		told.mode = memory_mode_name(m);
	if (!memory_is_heard(m) && (!is_told_early(m, told.name) || keep_early(&m->telling, &told)))
		return;
	pthread_rwlock_rdlock(&m->telling.lock);
	if (m->telling.fn)
		m->telling.fn(m->telling.context, &told);
	pthread_rwlock_unlock(&m->telling.lock);
}

/* An entity as users write it in EDN. Names that were cut short don't say their key: then the path. */
static void add_key(struct memory *m, struct slice path, struct buf *out)
{
	struct path_place place = PATH_PLACE_INIT;

	if (path_parse(m->options.schema, path, &place, NULL) || !place.key.len) {
		buf_add_char(out, '/');
		buf_add_slice(out, path);
	} else {
		struct entity_id id = {.key = buf_slice(&place.key)};

		if (place.kind == PATH_MEMBER)
			id.member = buf_slice(&place.member);
		entity_id_text(out, id);
	}
	path_place_release(&place);
}

static const char *written_stores(struct memory *m)
{
	const struct mode_row *row = mode_row((enum mode)atomic_load(&m->mode));

	return row->writes_edn && row->writes_eav ? "both" : row->writes_edn ? "edn" : "eav";
}

/* Refused for what it is, not for the state of a disk. */
static bool is_refusal(int ret)
{
	static const int refusals[] = {
		EBADMSG, EINVAL, EEXIST, EISDIR, ENOTDIR, EFBIG, ENOTEMPTY, EXDEV, EROFS};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
		if (ret == -refusals[i])
			return true;
	return false;
}

void memory_tell_done(struct memory *m, const struct memory_done *done)
{
	struct memory_event event = {.name = done->name, .ret = done->ret, .count = 1};
	struct buf key = BUF_INIT, detail = BUF_INIT;

	/* an editor asks for much that is not there */
	if ((!memory_is_heard(m) && !is_told_early(m, done->name)) || done->ret == -ENOENT)
		return;
	add_key(m, done->path, &key);
	if (done->to.ptr)
		add_key(m, done->to, &detail);
	/* where it is wrong, never what it says: a message may quote the document */
	else if (done->err && done->err->code && done->err->line)
		buf_add_format(&detail, "%u:%u", done->err->line, done->err->column);
	else if (done->detail)
		buf_add_str(&detail, done->detail);
	if (done->ret)
		event.name = is_refusal(done->ret) ? "rejected" : "error";
	event.store = done->store ? done->store : written_stores(m);
	event.key = buf_slice(&key);
	event.detail = buf_slice(&detail);
	event.duration_ms = done->start_ms > 0 ? memory_clock_ms() - done->start_ms : 0;
	if (!buf_error(&key) && !buf_error(&detail))
		memory_tell(m, &event);
	buf_release(&key);
	buf_release(&detail);
}

void memory_tell_hidden(struct memory *m, struct slice path, const struct err *reason)
{
	struct memory_event event = {.name = "hidden", .store = "edn", .ret = reason->code};
	struct buf key = BUF_INIT;

	if (!memory_is_heard(m))
		return;
	add_key(m, path, &key);
	event.key = buf_slice(&key);
	event.detail = slice_str(reason->text);
	if (!buf_error(&key))
		memory_tell(m, &event);
	buf_release(&key);
}

/* ---- what fails ---- */

static const char *const STORES[FAILING_COUNT] = {
	[FAILING_EDN] = "edn",
	[FAILING_EAV] = "eav",
	[FAILING_SAVED] = "saved",
	[FAILING_JOURNAL] = "journal",
	[FAILING_APPLY] = "memory",
	[FAILING_WATCH] = "watch",
};

static void tell_failing(struct memory *m, enum failing which, const struct err *err)
{
	const struct memory_event event = {
		.name = err->code ? "store-degraded" : "store-recovered",
		.store = STORES[which],
		.ret = err->code,
		.detail = slice_str(err->text),
	};

	memory_tell(m, &event);
}

void memory_fails(struct memory *m, enum failing which, const struct err *err)
{
	struct failure *failure = &m->failures[which];
	bool first;

	if (!err->code) {
		memory_fails_no_more(m, which);
		return;
	}
	pthread_mutex_lock(&m->failing);
	first = !atomic_load(&failure->since_s);
	if (first)
		atomic_store(&failure->since_s, (long long)time(NULL));
	failure->reason = *err;
	pthread_mutex_unlock(&m->failing);
	if (first)
		tell_failing(m, which, err);
}

void memory_fails_no_more(struct memory *m, enum failing which)
{
	const struct err well = {0};

	if (atomic_load_explicit(&m->failures[which].since_s, memory_order_relaxed) &&
		atomic_exchange(&m->failures[which].since_s, 0))
		tell_failing(m, which, &well);
}

void memory_failing_forget(struct memory *m, enum failing which)
{
	atomic_store(&m->failures[which].since_s, 0);
}

size_t memory_failures(struct memory *m, struct memory_failure *rows, size_t most)
{
	size_t count = 0;

	pthread_mutex_lock(&m->failing);
	for (int i = 0; i < FAILING_COUNT && count < most; i++) {
		long long since_s = atomic_load(&m->failures[i].since_s);

		if (!since_s)
			continue;
		rows[count] = (struct memory_failure){
			.store = STORES[i], .since_s = since_s, .ret = m->failures[i].reason.code};
		snprintf(rows[count].reason, sizeof(rows[count].reason), "%s",
			m->failures[i].reason.text);
		count++;
	}
	pthread_mutex_unlock(&m->failing);
	return count;
}

/* ---- what was made anew ---- */

static void tell_remade(struct memory *m, enum failing which)
{
	struct remade remade;
	struct memory_event event = {.name = "store-remade", .store = STORES[which]};

	pthread_mutex_lock(&m->failing);
	remade = m->remade[which];
	pthread_mutex_unlock(&m->failing);
	event.detail = slice_str(remade.text);
	if (remade.since_s)
		memory_tell(m, &event);
}

void memory_tell_remade(struct memory *m, enum failing which, const struct remade *remade)
{
	pthread_mutex_lock(&m->failing);
	m->remade[which] = *remade;
	pthread_mutex_unlock(&m->failing);
	tell_remade(m, which);
}

/* ---- who listens ---- */

void memory_on_event(struct memory *m, memory_event_fn *fn, void *context)
{
	struct early_event *events;

	pthread_rwlock_wrlock(&m->telling.lock);
	m->telling.fn = fn;
	m->telling.context = context;
	atomic_store(&m->telling.heard, fn != NULL);
	atomic_store(&m->telling.early, false);
	events = m->telling.events;
	m->telling.events = NULL;
	pthread_rwlock_unlock(&m->telling.lock);
	/* what happened before there was a listener */
	for (struct early_event *early = events; fn && early; early = early->next)
		memory_tell(m, &early->event);
	free_early(events);
	for (int i = 0; fn && i < FAILING_COUNT; i++) {
		struct err reason;
		bool fails;

		tell_remade(m, (enum failing)i);
		pthread_mutex_lock(&m->failing);
		fails = atomic_load(&m->failures[i].since_s);
		reason = m->failures[i].reason;
		pthread_mutex_unlock(&m->failing);
		if (fails)
			tell_failing(m, (enum failing)i, &reason);
	}
}
