/* SPDX-License-Identifier: MIT */
#include "health.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <cjson/cJSON.h>

static void add_time(cJSON *to, const char *name, struct timespec time)
{
	char text[32];
	struct tm tm;

	if (!time.tv_sec) {
		cJSON_AddNullToObject(to, name);
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time.tv_sec, &tm));
	cJSON_AddStringToObject(to, name, text);
}

static void add_reason(cJSON *reasons, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void add_reason(cJSON *reasons, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cJSON_AddItemToArray(reasons, cJSON_CreateString(text));
}

static void add_eav(cJSON *root, const struct memory_health *health)
{
	cJSON *eav = cJSON_AddObjectToObject(root, "eav");

	cJSON_AddStringToObject(eav, "state", health->eav_state);
	cJSON_AddNumberToObject(eav, "entities", (double)health->eav_entities);
	cJSON_AddNumberToObject(eav, "datoms", (double)health->eav_datoms);
	cJSON_AddNumberToObject(eav, "bytes", (double)health->eav_bytes);
	cJSON_AddNumberToObject(eav, "commits", (double)health->eav_commits);
	cJSON_AddNumberToObject(eav, "reads", (double)health->eav_reads);
	cJSON_AddNumberToObject(eav, "fallbacks", (double)health->eav_fallbacks);
	if (health->eav_reason[0])
		cJSON_AddStringToObject(eav, "error", health->eav_reason);
	else
		cJSON_AddNullToObject(eav, "error");
}

static void add_status(struct fs *fs, cJSON *root, const struct memory_health *health)
{
	cJSON *reasons = cJSON_CreateArray();

	if (health->edn_error)
		add_reason(reasons, "memory.edn can't be written: %s", health->edn_reason);
	if (health->eav_reason[0])
		add_reason(reasons, "the EAV store fails, memory.edn serves: %s",
			health->eav_reason);
	if (health->flush_error)
		add_reason(reasons, "the journal can't be brought to the stores: %s",
			health->flush_reason);
	if (health->set_aside)
		add_reason(reasons,
			"another writer left memory.edn broken, or most of it out: it is kept "
			"beside as memory.edn.bad-<time>");
	if (health->lenient_keys)
		add_reason(reasons,
			"memory.edn has %zu %s with a keyword, symbol or tag that Clojure can't "
			"read: "
			"Ouroboros would start empty and overwrite it",
			health->lenient_keys, health->lenient_keys == 1 ? "entry" : "entries");
	if (health->trailing_bytes)
		add_reason(reasons,
			"memory.edn has %zu bytes behind its first form, which Clojure and ourofs "
			"ignore",
			health->trailing_bytes);
	cJSON_AddStringToObject(root, "status",
		cJSON_GetArraySize(reasons) ? "degraded" : "healthy");
	cJSON_AddItemToObject(root, "reasons", reasons);
	cJSON_AddNumberToObject(root, "pid", getpid());
	cJSON_AddStringToObject(root, "version", OUROFS_VERSION);
	cJSON_AddNumberToObject(root, "uptime_s", (double)(time(NULL) - fs->started.tv_sec));
	cJSON_AddStringToObject(root, "mode", health->mode);
}

static void add_edn(struct fs *fs, cJSON *root, const struct memory_health *health)
{
	struct memory_type_count rows[64];
	size_t count = memory_count_types(fs->memory, rows, 64);
	cJSON *edn = cJSON_AddObjectToObject(root, "edn");
	cJSON *types;
	size_t i;

	cJSON_AddStringToObject(edn, "path", fs->options->edn_path);
	cJSON_AddNumberToObject(edn, "bytes", (double)health->edn_bytes);
	cJSON_AddNumberToObject(edn, "keys", (double)health->keys);
	cJSON_AddNumberToObject(edn, "entities", (double)health->entities);
	types = cJSON_AddObjectToObject(edn, "types");
	for (i = 0; i < count && i < 64; i++)
		cJSON_AddNumberToObject(types, rows[i].type, (double)rows[i].entities);
	cJSON_AddNumberToObject(edn, "unreadable_keys", (double)health->lenient_keys);
	cJSON_AddNumberToObject(edn, "trailing_bytes", (double)health->trailing_bytes);
	cJSON_AddNumberToObject(edn, "outside_changes", (double)health->outside_changes);
	cJSON_AddNumberToObject(edn, "stale_put_back", (double)health->stale_put_back);
	cJSON_AddNumberToObject(edn, "conflicts", (double)health->conflicts);
	cJSON_AddNumberToObject(edn, "rewrites", (double)health->rewrites);
	add_time(edn, "last_rewrite", health->last_rewrite);
	cJSON_AddNumberToObject(edn, "last_rewrite_ms", health->last_rewrite_ms);
	if (health->edn_error)
		cJSON_AddStringToObject(edn, "error", health->edn_reason);
	else
		cJSON_AddNullToObject(edn, "error");
}

int health_print(struct fs *fs, struct buf *out)
{
	struct memory_health health;
	cJSON *root = cJSON_CreateObject();
	cJSON *journal;
	char *text;

	if (!root)
		return -ENOMEM;
	memory_health(fs->memory, &health);
	add_status(fs, root, &health);
	add_edn(fs, root, &health);
	add_eav(root, &health);
	journal = cJSON_AddObjectToObject(root, "journal");
	cJSON_AddNumberToObject(journal, "pending", (double)health.pending);
	cJSON_AddNumberToObject(journal, "bytes", (double)health.journal_bytes);
	cJSON_AddNumberToObject(root, "rejected", (double)refusals_count(fs->refusals));
	cJSON_AddNumberToObject(root, "scratch_bytes",
		(double)atomic_load(&fs->trees[TREE_SCRATCH].used_bytes));
	text = cJSON_Print(root);
	cJSON_Delete(root);
	if (!text)
		return -ENOMEM;
	buf_add_format(out, "%s\n", text);
	cJSON_free(text);
	return buf_error(out);
}
