/* SPDX-License-Identifier: MIT */
#include "ctl_memory.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>

enum { NAMED_MAX = 100 };

static const char *const KINDS[] = {"added", "changed", "removed"};

/* The first entities of each kind, by name. */
struct report {
	cJSON *named[3]; /* NULL: lines */
	size_t count[3];
	bool print;
};

static void tell(void *context, enum memory_import_kind kind, struct slice key)
{
	struct report *report = context;
	char name[1000];

	if (report->count[kind]++ >= NAMED_MAX)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(key.len < 900 ? key.len : 900), key.ptr);
	if (report->named[kind])
		cJSON_AddItemToArray(report->named[kind], cJSON_CreateString(name));
	else if (report->print)
		printf("%s %s\n", KINDS[kind], ctl_printable(name));
}

static void print_json(const struct memory_import *import, const struct report *report)
{
	cJSON *root = cJSON_CreateObject();
	char *text;

	cJSON_AddBoolToObject(root, "dry_run", import->dry_run);
	for (int i = 0; i < 3; i++) {
		cJSON *kind = cJSON_AddObjectToObject(root, KINDS[i]);

		cJSON_AddNumberToObject(kind, "count", (double)import->count[i]);
		cJSON_AddItemToObject(kind, "first", report->named[i]);
	}
	text = cJSON_Print(root);
	puts(text ? text : "{}");
	cJSON_free(text);
	cJSON_Delete(root);
}

static void print_lines(const struct memory_import *import)
{
	printf("%s%zu added, %zu changed, %zu removed\n",
		import->dry_run ? "nothing was changed; it would be " : "",
		import->count[MEMORY_IMPORT_ADDS], import->count[MEMORY_IMPORT_CHANGES],
		import->count[MEMORY_IMPORT_REMOVES]);
}

static int import_file(struct ctl_memory *cm, struct memory_import *import, struct err *err)
{
	int ret = memory_import(cm->memory, import, err);

	return ret || import->dry_run ? ret : memory_sync(cm->memory, err);
}

/* A dry run only reads, but so that nobody writes meanwhile. */
enum ctl_status ctl_import(const struct ctl_args *args)
{
	bool json = args->given[CTL_IMPORT_JSON];
	struct report report = {.print = args->given[CTL_IMPORT_DRY_RUN]};
	struct memory_import import = {.path = args->operands[1],
		.replace = args->given[CTL_IMPORT_REPLACE],
		.dry_run = args->given[CTL_IMPORT_DRY_RUN],
		.fn = tell,
		.context = &report};
	struct ctl_memory cm;
	struct err err = {0};
	struct err close_err = {0};
	int ret = ctl_memory_find(&cm, args->operands[0], args->values[CTL_EDN], &err);

	for (int i = 0; i < 3 && json; i++)
		report.named[i] = cJSON_CreateArray();
	if (!ret)
		ret = ctl_memory_open(&cm, args->values[CTL_MAPPING], import.dry_run, &err);
	if (!ret)
		ret = import_file(&cm, &import, &err);
	if (ctl_memory_close(&cm, &close_err) && !ret) {
		ret = close_err.code;
		err = close_err;
	}
	if (!ret && json) {
		print_json(&import, &report);
		return CTL_FINE;
	}
	for (int i = 0; i < 3 && json; i++)
		cJSON_Delete(report.named[i]);
	if (!ret) {
		print_lines(&import);
		return CTL_FINE;
	}
	ctl_complain("%s", err.text);
	return ret == -EBADMSG || ret == -EEXIST ? CTL_WRONG : CTL_FAILED;
}
