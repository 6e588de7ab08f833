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
};

static const struct told TOLD[] = {
	{"mode-changed", log_info, false, "the mode is changed"},
	{"migration-started", log_info, false, "the migration has begun"},
	{"migration-paused", log_info, false, "the migration is paused"},
	{"migration-completed", log_info, false, "the migration is done"},
	{"migration-failed", log_warning, true, "the migration has failed"},
	{"migration-stopped", log_info, false, "the migration was stopped"},
	{"validation-completed", log_info, false, "the stores are compared"},
	{"outside-change", log_info, false, "memory.edn was changed by another writer"},
	{"conflict", log_warning, true, "another writer's value is kept in .conflicts"},
	{"store-degraded", log_warning, true, "fails"},
	{"store-recovered", log_info, false, "is well again"},
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

static const char *print(char *out, size_t size, const struct told *told,
	const struct memory_event *event)
{
	bool of_store = !strncmp(event->name, "store-", 6) && event->store;
	struct slice detail = event->detail;

	if (!detail.len && event->ret)
		detail = slice_str(strerror(-event->ret));
	snprintf(out, size, "%s%s%s%s%s%.*s", of_store ? name_of_store(event->store) : "",
		of_store ? " " : "", told->words,
		!strcmp(event->name, "mode-changed") ? " from"
		: detail.len                         ? ":"
						     : "",
		detail.len ? " " : "", (int)detail.len, detail.len ? detail.ptr : "");
	return out;
}

static void tell(struct fs *fs, const struct told *told, const struct memory_event *event)
{
	void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
	char text[400];

	print(text, sizeof(text), told, event);
	if (told->error || event->ret)
		refusals_log(fs->refusals, event->key, text);
	log = event->ret ? log_warning : told->log;
	if (event->key.len)
		log("%.*s: %s", (int)event->key.len, event->key.ptr, text);
	else
		log("%s", text);
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
