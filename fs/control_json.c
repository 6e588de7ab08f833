/* SPDX-License-Identifier: MIT */
#include "control_json.h"

#include <errno.h>

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
	if (!text)
		return -ENOMEM;
	buf_add_str(out, text);
	buf_add_char(out, '\n');
	cJSON_free(text);
	return buf_error(out);
}
