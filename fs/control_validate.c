/* SPDX-License-Identifier: MIT */
#include "control_validate.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "memory_validate.h"

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

static void add_text(cJSON *to, const char *name, const char *text)
{
	if (text[0])
		cJSON_AddStringToObject(to, name, text);
	else
		cJSON_AddNullToObject(to, name);
}

static void add_first(cJSON *root, const struct validation *validation)
{
	cJSON *first = cJSON_AddArrayToObject(root, "first");

	for (size_t i = 0; i < validation->first_count; i++) {
		const struct validation_finding *finding = &validation->first[i];
		cJSON *row = cJSON_CreateObject();

		add_text(row, "key", finding->key);
		cJSON_AddStringToObject(row, "kind", validation_kind_names[finding->kind]);
		add_text(row, "path", finding->path);
		add_text(row, "attribute", finding->attribute);
		cJSON_AddStringToObject(row, "detail", finding->detail);
		cJSON_AddItemToArray(first, row);
	}
}

static char *print(const struct validation *validation)
{
	static const char *const STATES[] = {[VALIDATION_IDLE] = "idle",
		[VALIDATION_RUNNING] = "running",
		[VALIDATION_DONE] = "done",
		[VALIDATION_FAILED] = "failed",
		[VALIDATION_STOPPED] = "stopped"};
	cJSON *root = cJSON_CreateObject();
	cJSON *kinds;
	char *text;

	cJSON_AddStringToObject(root, "state", STATES[validation->state]);
	cJSON_AddNumberToObject(root, "total", (double)validation->total);
	cJSON_AddNumberToObject(root, "compared", (double)validation->compared);
	cJSON_AddNumberToObject(root, "differences", (double)validation->differences);
	kinds = cJSON_AddObjectToObject(root, "kinds");
	for (int i = 0; i < VALIDATION_KINDS; i++)
		cJSON_AddNumberToObject(kinds, validation_kind_names[i],
			(double)validation->kinds[i]);
	add_first(root, validation);
	add_time(root, "started", validation->started);
	add_time(root, "ended", validation->ended);
	add_text(root, "error", validation->error);
	text = cJSON_Print(root);
	cJSON_Delete(root);
	return text;
}

int control_read_validate(struct fs *fs, struct buf *out)
{
	struct validation validation;
	int ret = memory_validation(fs->memory, &validation);
	char *text;

	if (ret)
		return ret;
	text = print(&validation);
	validation_release(&validation);
	if (!text)
		return -ENOMEM;
	buf_add_format(out, "%s\n", text);
	cJSON_free(text);
	return buf_error(out);
}

int control_write_validate(struct fs *fs, struct slice text)
{
	struct err reason = {0};
	char described[256];
	int ret = memory_validate(fs->memory, text, &reason);

	if (ret)
		refusals_log(fs->refusals, SLICE_LITERAL(".validate"),
			err_describe(&reason, described, sizeof(described)));
	return ret;
}
