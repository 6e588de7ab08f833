/* SPDX-License-Identifier: MIT */
#include "control_migrate.h"

#include <errno.h>
#include <stdlib.h>

#include "control_json.h"

static void add_counts(cJSON *to, size_t total, size_t done, size_t failed)
{
	cJSON_AddNumberToObject(to, "total", (double)total);
	cJSON_AddNumberToObject(to, "done", (double)done);
	cJSON_AddNumberToObject(to, "failed", (double)failed);
}

static void add_types(cJSON *root, const struct memory_migration *migration)
{
	cJSON *types = cJSON_AddObjectToObject(root, "types");

	for (size_t i = 0; i < migration->type_count; i++) {
		const struct memory_migration_type *type = &migration->types[i];

		add_counts(cJSON_AddObjectToObject(types, type->type), type->total, type->done,
			type->failed);
	}
}

static void add_failures(cJSON *root, const struct memory_migration *migration)
{
	cJSON *failures = cJSON_AddArrayToObject(root, "failures");

	for (size_t i = 0; i < migration->failure_count; i++) {
		cJSON *one = cJSON_CreateObject();

		cJSON_AddStringToObject(one, "key", migration->failures[i].key);
		cJSON_AddStringToObject(one, "error", migration->failures[i].error);
		cJSON_AddItemToArray(failures, one);
	}
}

static cJSON *make(const struct memory_migration *migration)
{
	cJSON *root = control_json_new();

	if (!root)
		return NULL;
	cJSON_AddStringToObject(root, "state", migration->state);
	control_json_text(root, "what", migration->what);
	add_counts(root, migration->total, migration->done, migration->failed);
	cJSON_AddNumberToObject(root, "skipped", (double)migration->skipped);
	cJSON_AddNumberToObject(root, "rate", (double)(long)migration->rate_per_s);
	if (migration->left_s < 0)
		cJSON_AddNullToObject(root, "left_s");
	else
		cJSON_AddNumberToObject(root, "left_s", (double)(long)(migration->left_s + 0.5));
	control_json_time(root, "started", migration->started);
	control_json_time(root, "ended", migration->ended);
	add_types(root, migration);
	add_failures(root, migration);
	control_json_text(root, "error", migration->error);
	return root;
}

int control_read_migrate(struct fs *fs, struct buf *out)
{
	struct memory_migration *migration = malloc(sizeof(*migration));
	cJSON *root = NULL;

	if (migration) {
		memory_migration(fs->memory, migration);
		root = make(migration);
	}
	free(migration);
	return control_json_print(root, out);
}
