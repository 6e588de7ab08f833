/* SPDX-License-Identifier: MIT */
#include "health_causes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "mode.h"

struct causes {
	struct cause *rows;
	size_t count;
	const struct mode_row *mode;
	bool read_only;
	const struct memory_failure *edn, *eav; /* NULL: well */
};

static void add(struct causes *causes, const char *name, bool unhealthy, long long since_s,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
static void add(struct causes *causes, const char *name, bool unhealthy, long long since_s,
	const char *format, ...)
{
	struct cause *cause = &causes->rows[causes->count++];
	va_list args;

	*cause = (struct cause){.name = name, .unhealthy = unhealthy, .since_s = since_s};
	va_start(args, format);
	vsnprintf(cause->detail, sizeof(cause->detail), format, args);
	va_end(args);
}

/* ---- what the memory knows to fail ---- */

static void add_edn(struct causes *causes, const struct memory_failure *failure)
{
	bool alone = !causes->mode->writes_eav || causes->eav;

	if (causes->read_only)
		add(causes, "edn-read-failed", false, failure->since_s,
			"memory.edn can't be read, what it held before is shown: %s",
			failure->reason);
	else if (causes->mode->writes_edn)
		add(causes, "edn-write-failed", alone, failure->since_s,
			"memory.edn can't be written: %s", failure->reason);
}

static void add_eav(struct causes *causes, const struct memory_failure *failure)
{
	bool alone = !causes->mode->writes_edn || causes->edn;

	add(causes, "eav-failed", alone, failure->since_s, "the EAV store fails, %s: %s",
		causes->mode->writes_edn ? "memory.edn serves" : "and no other is written",
		failure->reason);
}

static void add_saved(struct causes *causes, const struct memory_failure *failure)
{
	add(causes, "stores-behind", false, failure->since_s,
		"the journal can't be brought to the stores: %s", failure->reason);
}

static void add_journal(struct causes *causes, const struct memory_failure *failure)
{
	add(causes, "journal-write-failed", true, failure->since_s,
		"changes can't be committed to the journal: %s", failure->reason);
}

static void add_memory(struct causes *causes, const struct memory_failure *failure)
{
	add(causes, "change-cut-short", true, failure->since_s, "%s", failure->reason);
}

static void add_watch(struct causes *causes, const struct memory_failure *failure)
{
	if (causes->mode->writes_edn)
		add(causes, "edn-unwatched", false, failure->since_s,
			"memory.edn can't be watched, and is looked at once a second: %s",
			failure->reason);
}

static const struct of_store {
	const char *store;
	void (*add)(struct causes *causes, const struct memory_failure *failure);
} OF_STORES[] = {
	{"memory", add_memory},
	{"journal", add_journal},
	{"edn", add_edn},
	{"eav", add_eav},
	{"saved", add_saved},
	{"watch", add_watch},
};

static const struct memory_failure *find(const struct memory_failure *failures, size_t count,
	const char *store)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(failures[i].store, store))
			return &failures[i];
	return NULL;
}

static void add_failures(struct fs *fs, struct causes *causes)
{
	struct memory_failure failures[MEMORY_FAILURES_MAX];
	size_t count = memory_failures(fs->memory, failures, MEMORY_FAILURES_MAX);

	causes->edn = find(failures, count, "edn");
	causes->eav = find(failures, count, "eav");
	for (size_t i = 0; i < sizeof(OF_STORES) / sizeof(*OF_STORES); i++) {
		const struct memory_failure *failure = find(failures, count, OF_STORES[i].store);

		if (failure)
			OF_STORES[i].add(causes, failure);
	}
}

/* ---- what can be seen ---- */

static void add_directory(struct fs *fs, struct causes *causes)
{
	const char *path = fs->options->store_dir;
	struct stat there, ours;

	if (fs->trees[TREE_SCRATCH].root < 0 ||
		fstatat(fs->trees[TREE_SCRATCH].root, "..", &ours, 0) ||
		(!stat(path, &there) && there.st_ino == ours.st_ino && there.st_dev == ours.st_dev))
		return;
	if (fstat(fs->trees[TREE_SCRATCH].root, &ours) == 0 && ours.st_nlink == 0)
		add(causes, "store-directory-gone", true, 0,
			"%s was removed: what is saved will be lost", path);
	else
		add(causes, "store-directory-moved", false, 0,
			"%s is not the directory that is in use: the next mount will not find it",
			path);
}

static void add_file(const struct memory_health *health, struct causes *causes)
{
	if (health->set_aside[0])
		add(causes, "edn-set-aside", false, health->set_aside_since.tv_sec, "%s",
			health->set_aside);
	if (health->saved_damaged)
		add(causes, "saved-damaged", false, 0,
			"saved/data.mdb is damaged: values are served without the bytes, times and "
			"modes they were saved with, and the next mount makes it anew");
	if (health->saved_doubtful)
		add(causes, "saved-remade", false, health->saved_remade_s,
			"saved/data.mdb was damaged, and what was saved last may be as it was "
			"before: %s",
			health->saved_remade);
	if (health->unreadable_keys)
		add(causes, "edn-unreadable-keys", false, 0,
			"memory.edn has %zu %s with a keyword, symbol or tag that Clojure can't "
			"read: Ouroboros would start empty and overwrite it",
			health->unreadable_keys,
			health->unreadable_keys == 1 ? "entry" : "entries");
	if (health->trailing_bytes)
		add(causes, "edn-trailing-bytes", false, 0,
			"memory.edn has %zu bytes behind its first form, which Clojure and ourofs "
			"ignore",
			health->trailing_bytes);
}

/* ---- all ---- */

/* Since when are those here that nobody told of? Since they were first looked at. */
static void remember(struct fs *fs, struct cause *rows, size_t count)
{
	struct health_seen now[HEALTH_SEEN_MAX] = {{0}};
	size_t kept = 0;

	pthread_mutex_lock(&fs->lock);
	for (size_t i = 0; i < count; i++) {
		if (rows[i].since_s)
			continue;
		rows[i].since_s = (long long)time(NULL);
		for (size_t j = 0; j < HEALTH_SEEN_MAX; j++)
			if (fs->health_seen[j].cause == rows[i].name)
				rows[i].since_s = fs->health_seen[j].since_s;
		if (kept < HEALTH_SEEN_MAX)
			now[kept++] = (struct health_seen){rows[i].name, rows[i].since_s};
	}
	memcpy(fs->health_seen, now, sizeof(now));
	pthread_mutex_unlock(&fs->lock);
}

size_t health_causes(struct fs *fs, const struct memory_health *health,
	struct cause rows[CAUSES_MAX])
{
	struct causes causes = {.rows = rows};
	enum mode mode = MODE_DATALEVIN_FIRST;

	mode_of_word(slice_str(health->mode), &mode, NULL);
	causes.mode = mode_row(mode);
	causes.read_only = fs->options->read_only;
	add_failures(fs, &causes);
	add_directory(fs, &causes);
	add_file(health, &causes);
	remember(fs, rows, causes.count);
	return causes.count;
}

const char *health_status(const struct cause *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].unhealthy)
			return "unhealthy";
	return count ? "degraded" : "healthy";
}
