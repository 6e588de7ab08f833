/* SPDX-License-Identifier: MIT */
#include "control_validate.h"

#include "control_json.h"
#include "memory_validate.h"

static void add_first(cJSON *root, const struct validation *validation)
{
	cJSON *first = cJSON_AddArrayToObject(root, "first");

	for (size_t i = 0; i < validation->first_count; i++) {
		const struct validation_finding *finding = &validation->first[i];
		cJSON *row = cJSON_CreateObject();

		control_json_text(row, "key", finding->key);
		cJSON_AddStringToObject(row, "kind", validation_kind_names[finding->kind]);
		control_json_text(row, "path", finding->path);
		control_json_text(row, "attribute", finding->attribute);
		cJSON_AddStringToObject(row, "detail", finding->detail);
		cJSON_AddItemToArray(first, row);
	}
}

static cJSON *make(const struct validation *validation)
{
	static const char *const STATES[] = {[VALIDATION_IDLE] = "idle",
		[VALIDATION_RUNNING] = "running",
		[VALIDATION_DONE] = "done",
		[VALIDATION_FAILED] = "failed",
		[VALIDATION_STOPPED] = "stopped"};
	cJSON *root = control_json_new();
	cJSON *kinds;

	cJSON_AddStringToObject(root, "state", STATES[validation->state]);
	cJSON_AddNumberToObject(root, "total", (double)validation->total);
	cJSON_AddNumberToObject(root, "compared", (double)validation->compared);
	cJSON_AddNumberToObject(root, "differences", (double)validation->differences);
	kinds = cJSON_AddObjectToObject(root, "kinds");
	for (int i = 0; i < VALIDATION_KINDS; i++)
		cJSON_AddNumberToObject(kinds, validation_kind_names[i],
			(double)validation->kinds[i]);
	add_first(root, validation);
	control_json_time(root, "started", validation->started);
	control_json_time(root, "ended", validation->ended);
	control_json_text(root, "error", validation->error);
	return root;
}

int control_read_validate(struct fs *fs, struct buf *out)
{
	struct validation validation;
	int ret = memory_validation(fs->memory, &validation);

	if (ret)
		return ret;
	ret = control_json_print(make(&validation), out);
	validation_release(&validation);
	return ret;
}
