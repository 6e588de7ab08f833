/* SPDX-License-Identifier: MIT */
#include "health.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control_json.h"
#include "health_causes.h"

static void add_causes(struct fs *fs, cJSON *root, const struct memory_health *health)
{
	struct cause rows[CAUSES_MAX];
	size_t count = health_causes(fs, health, rows);
	cJSON *reasons, *causes;

	cJSON_AddStringToObject(root, "status", health_status(rows, count));
	reasons = cJSON_AddArrayToObject(root, "reasons");
	causes = cJSON_AddArrayToObject(root, "causes");
	for (size_t i = 0; i < count; i++) {
		cJSON *cause = cJSON_CreateObject();

		cJSON_AddItemToArray(reasons, cJSON_CreateString(rows[i].detail));
		cJSON_AddStringToObject(cause, "cause", rows[i].name);
		cJSON_AddStringToObject(cause, "severity",
			rows[i].unhealthy ? "unhealthy" : "degraded");
		control_json_time(cause, "since",
			(struct timespec){.tv_sec = (time_t)rows[i].since_s});
		cJSON_AddStringToObject(cause, "detail", rows[i].detail);
		cJSON_AddItemToArray(causes, cause);
	}
}

static void add_identity(struct fs *fs, cJSON *root, const struct memory_health *health)
{
	cJSON_AddNumberToObject(root, "pid", getpid());
	cJSON_AddStringToObject(root, "version", OUROFS_VERSION);
	cJSON_AddNumberToObject(root, "uptime_s", (double)(time(NULL) - fs->started.tv_sec));
	cJSON_AddStringToObject(root, "mode", health->mode);
	cJSON_AddStringToObject(root, "store_directory", fs->options->store_dir);
}

/* ---- the stores ---- */

enum { TYPES_MAX = 64, UNREADABLE_MAX = 20 };

static int add_unreadable_key(void *context, struct slice key, struct slice path)
{
	cJSON *list = context;
	struct buf text = BUF_INIT;
	cJSON *row = cJSON_CreateObject();

	buf_add_slice(&text, key);
	cJSON_AddStringToObject(row, "key", buf_cstr(&text) ? text.ptr : "");
	buf_reset(&text);
	buf_add_slice(&text, path);
	cJSON_AddStringToObject(row, "path", buf_cstr(&text) ? text.ptr : "");
	buf_release(&text);
	cJSON_AddItemToArray(list, row);
	return cJSON_GetArraySize(list) < UNREADABLE_MAX ? 0 : -ECANCELED;
}

static void add_unreadable(struct fs *fs, cJSON *edn, const struct memory_health *health)
{
	cJSON *list;

	cJSON_AddNumberToObject(edn, "unreadable_keys", (double)health->unreadable_keys);
	list = cJSON_AddArrayToObject(edn, "unreadable");
	if (health->unreadable_keys)
		memory_each_unreadable(fs->memory, add_unreadable_key, list);
}

static int add_eav_type(void *context, struct slice type, uint64_t count)
{
	char name[SCHEMA_TYPE_MAX + 1];

	snprintf(name, sizeof(name), "%.*s", (int)type.len, type.ptr);
	cJSON_AddNumberToObject(context, name, (double)count);
	return 0;
}

static void add_edn(struct fs *fs, cJSON *root, const struct memory_health *health)
{
	struct memory_type_count rows[TYPES_MAX];
	size_t count = memory_count_types(fs->memory, rows, TYPES_MAX);
	cJSON *edn = cJSON_AddObjectToObject(root, "edn");
	cJSON *types;
	size_t i;

	cJSON_AddStringToObject(edn, "path", fs->options->edn_path);
	cJSON_AddNumberToObject(edn, "bytes", (double)health->edn_bytes);
	cJSON_AddNumberToObject(edn, "keys", (double)health->keys);
	cJSON_AddNumberToObject(edn, "entities", (double)memory_count_documents(fs->memory));
	types = cJSON_AddObjectToObject(edn, "types");
	for (i = 0; i < count && i < TYPES_MAX; i++)
		cJSON_AddNumberToObject(types, rows[i].type, (double)rows[i].entities);
	add_unreadable(fs, edn, health);
	cJSON_AddNumberToObject(edn, "trailing_bytes", (double)health->trailing_bytes);
	cJSON_AddNumberToObject(edn, "outside_changes", (double)health->outside_changes);
	cJSON_AddNumberToObject(edn, "stale_put_back", (double)health->stale_put_back);
	cJSON_AddNumberToObject(edn, "conflicts", (double)health->conflicts);
	cJSON_AddNumberToObject(edn, "rewrites", (double)health->rewrites);
	control_json_time(edn, "last_rewrite", health->last_rewrite);
	cJSON_AddNumberToObject(edn, "last_rewrite_ms", health->last_rewrite_ms);
	if (health->edn_error)
		cJSON_AddStringToObject(edn, "error", health->edn_reason);
	else
		cJSON_AddNullToObject(edn, "error");
}

static void add_eav(struct fs *fs, cJSON *root, const struct memory_health *health)
{
	cJSON *eav = cJSON_AddObjectToObject(root, "eav");

	cJSON_AddStringToObject(eav, "state", health->eav_state);
	cJSON_AddNumberToObject(eav, "entities", (double)health->eav_entities);
	memory_count_eav_types(fs->memory, add_eav_type, cJSON_AddObjectToObject(eav, "types"));
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

/* ---- the rest ---- */

static int add_migration(struct fs *fs, cJSON *root)
{
	struct memory_migration *migration = malloc(sizeof(*migration));
	cJSON *to;

	if (!migration)
		return -ENOMEM;
	memory_migration(fs->memory, migration);
	to = cJSON_AddObjectToObject(root, "migration");
	cJSON_AddStringToObject(to, "state", migration->state);
	cJSON_AddNumberToObject(to, "total", (double)migration->total);
	cJSON_AddNumberToObject(to, "done", (double)migration->done);
	cJSON_AddNumberToObject(to, "failed", (double)migration->failed);
	cJSON_AddNumberToObject(to, "skipped", (double)migration->skipped);
	free(migration);
	return 0;
}

int health_print(struct fs *fs, struct buf *out)
{
	struct memory_health health;
	cJSON *root = control_json_new();
	cJSON *journal;
	int ret;

	if (!root)
		return -ENOMEM;
	memory_health(fs->memory, &health);
	add_causes(fs, root, &health);
	add_identity(fs, root, &health);
	add_edn(fs, root, &health);
	add_eav(fs, root, &health);
	ret = add_migration(fs, root);
	journal = cJSON_AddObjectToObject(root, "journal");
	cJSON_AddNumberToObject(journal, "pending", (double)health.pending);
	cJSON_AddNumberToObject(journal, "bytes", (double)health.journal_bytes);
	cJSON_AddNumberToObject(root, "rejected", (double)refusals_count(fs->refusals));
	cJSON_AddNumberToObject(root, "scratch_bytes",
		(double)atomic_load(&fs->trees[TREE_SCRATCH].used_bytes));
	if (!ret)
		return control_json_print(root, out);
	cJSON_Delete(root);
	return ret;
}
