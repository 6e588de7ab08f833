/* SPDX-License-Identifier: MIT */
#include "control_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* cJSON's functions say so one by one, if at all; its hooks have no context. */
static _Thread_local bool ran_out;

static void *allocate(size_t size)
{
	void *at = malloc(size);

	ran_out |= !at;
	return at;
}

void control_json_init(void)
{
	cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};

	cJSON_InitHooks(&hooks);
}

cJSON *control_json_new(void)
{
	ran_out = false;
	return cJSON_CreateObject();
}

void control_json_time(cJSON *to, const char *name, struct timespec time)
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

void control_json_text(cJSON *to, const char *name, const char *text)
{
	if (*text)
		cJSON_AddStringToObject(to, name, text);
	else
		cJSON_AddNullToObject(to, name);
}

int control_json_print(cJSON *root, struct buf *out)
{
	char *text = cJSON_Print(root);

	cJSON_Delete(root);
	if (text && !ran_out) {
		buf_add_str(out, text);
		buf_add_char(out, '\n');
	}
	cJSON_free(text);
	return ran_out ? -ENOMEM : buf_error(out);
}
