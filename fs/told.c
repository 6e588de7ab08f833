/* SPDX-License-Identifier: MIT */
#include "told.h"

#include <stdio.h>

#include "log.h"
#include "metrics.h"
#include "state.h"

struct told {
	const char *name;
	void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
	bool error; /* a line of /.errors */
	const char *words;
	bool quotes; /* its detail may: not for the log, which others read */
};

static const struct told TOLD[] = {
	{"mode-changed", log_info, false, "the mode is changed", false},
	{"migration-started", log_info, false, "the migration has begun", false},
	{"migration-paused", log_info, false, "the migration is paused", false},
	{"migration-completed", log_info, false, "the migration is done", false},
	{"migration-failed", log_warning, true, "the migration has failed", true},
	{"migration-stopped", log_info, false, "the migration was stopped", false},
	{"validation-completed", log_info, false, "the stores are compared", true},
	{"outside-change", log_info, false, "memory.edn was changed by another writer", false},
	{"conflict", log_warning, true, "another writer's value is kept in .conflicts", false},
	{"hidden", log_warning, true, "can't be read", false},
	{"store-degraded", log_warning, true, "fails", false},
	{"store-remade", log_warning, true, "was damaged, and is made anew", false},
	{"store-recovered", log_info, false, "is well again", false},
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

/* The log names no key: tokens are part of some. */
static void tell(struct fs *fs, const struct told *told, const struct memory_event *event)
{
	void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
	bool error = told->error || event->ret;
	char text[400];

	print(text, sizeof(text), told, event, event->detail);
	if (error)
		refusals_log(fs->refusals, event->key, text);
	if (error && told->quotes)
		print(text, sizeof(text), told, event, slice_str(""));
	log = event->ret ? log_warning : told->log;
	log("%s%s", text,
		error && (event->key.len || told->quotes) ? " (/.errors tells more)" : "");
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
