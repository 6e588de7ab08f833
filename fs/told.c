/* SPDX-License-Identifier: MIT */
#include "told.h"

#include <stdio.h>
#include <time.h>

#include "log.h"
#include "metrics.h"
#include "state.h"

enum {
	ERROR = 1 << 0,  /* a line of /.errors */
	QUOTES = 1 << 1, /* its detail may: not for the log, which others read */
	MANY = 1 << 2,   /* thousands may come at once: a line a second is enough for the log */
};

struct told {
	const char *name;
	void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
	unsigned flags;
	const char *words;
};

static const struct told TOLD[] = {
	{"mode-changed", log_info, 0, "the mode is changed"},
	{"migration-started", log_info, 0, "the migration has begun"},
	{"migration-paused", log_info, 0, "the migration is paused"},
	{"migration-completed", log_info, 0, "the migration is done"},
	{"migration-failed", log_warning, ERROR | QUOTES, "the migration has failed"},
	{"migration-stopped", log_info, 0, "the migration was stopped"},
	{"validation-completed", log_info, QUOTES, "the stores are compared"},
	{"outside-change", log_info, 0, "memory.edn was changed by another writer"},
	{"conflict", log_warning, ERROR | MANY, "another writer's value is kept in .conflicts"},
	{"hidden", log_warning, ERROR, "can't be read"},
	{"store-degraded", log_warning, ERROR, "fails"},
	{"store-remade", log_warning, ERROR, "was damaged, and is made anew"},
	{"store-recovered", log_info, 0, "is well again"},
};

/* What is called by the word in an event. */
static const char *name_of_store(const char *store)
{
	static const char *const names[][2] = {
		{"edn", "memory.edn"},
		{"eav", "the EAV store"},
		{"saved", "the state directory"},
		{"journal", "the journal"},
		{"memory", "the memory"},
		{"watch", "the watch over memory.edn"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(store, names[i][0]))
			return names[i][1];
	return store;
}

static void print(char *out, size_t size, const struct told *told, const struct memory_event *event,
	struct slice detail)
{
	bool of_store = !strncmp(event->name, "store-", 6) && event->store;

	if (!detail.len && event->ret)
		detail = slice_str(strerror(-event->ret));
	snprintf(out, size, "%s%s%s%s%s%.*s", of_store ? name_of_store(event->store) : "",
		of_store ? " " : "", told->words,
		!strcmp(event->name, "mode-changed") ? " from"
		: detail.len                         ? ":"
						     : "",
		detail.len ? " " : "", (int)detail.len, detail.len ? detail.ptr : "");
}

static bool is_next_second(struct fs *fs)
{
	long long now_s = (long long)time(NULL);

	return atomic_exchange(&fs->many_logged_s, now_s) != now_s;
}

/* The log names no key: tokens are part of some. */
static void tell(struct fs *fs, const struct told *told, const struct memory_event *event)
{
	void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
	bool error = (told->flags & ERROR) || event->ret, quotes = told->flags & QUOTES;
	char text[400];

	print(text, sizeof(text), told, event, event->detail);
	if (error)
		refusals_log(fs->refusals, event->key, text);
	if (error && quotes)
		print(text, sizeof(text), told, event, slice_str(""));
	if ((told->flags & MANY) && !is_next_second(fs))
		return;
	log = event->ret ? log_warning : told->log;
	log("%s%s", text, error && (event->key.len || quotes) ? " (/.errors tells more)" : "");
}

void told_event(void *context, const struct memory_event *event)
{
	struct fs *fs = context;

	events_add(fs->events, event);
	metrics_event(fs->metrics, event->name);
	for (size_t i = 0; i < sizeof(TOLD) / sizeof(*TOLD); i++) {
		if (!strcmp(event->name, TOLD[i].name)) {
			tell(fs, &TOLD[i], event);
			break;
		}
	}
}
