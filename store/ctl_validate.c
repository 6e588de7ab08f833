/* SPDX-License-Identifier: MIT */
#include "ctl.h"
#include "ctl_mount.h"

#include <errno.h>
#include <stdio.h>

/* "only_edn": what the mount calls it is near enough to English. */
static void print_kind(const char *kind)
{
	for (; *kind; kind++)
		putchar(*kind == '_' ? ' ' : *kind);
}

static void print_findings(const cJSON *validation)
{
	const cJSON *one;

	cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(validation, "kinds"))
	{
		char count[32];

		if (one->valuedouble <= 0)
			continue;
		printf("%8s  ", ctl_number(one->valuedouble, count));
		print_kind(one->string);
		putchar('\n');
	}
	cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(validation, "first"))
	{
		printf("    ");
		print_kind(ctl_json_text(one, "kind"));
		printf(": %s", ctl_json_text(one, "key"));
		if (*ctl_json_text(one, "attribute"))
			printf(" %s", ctl_json_text(one, "attribute"));
		if (*ctl_json_text(one, "path"))
			printf("  (%s)", ctl_json_text(one, "path"));
		putchar('\n');
	}
}

static enum ctl_status tell(const cJSON *validation, bool json)
{
	double differences = ctl_json_number(validation, "differences");
	char compared[32], count[32];

	if (json) {
		ctl_json_print(validation);
	} else if (!ctl_json_is(validation, "state", "done")) {
		ctl_complain("the comparison was not completed (%s)%s%s",
			ctl_json_text(validation, "state"),
			*ctl_json_text(validation, "error") ? ": " : "",
			ctl_json_text(validation, "error"));
	} else {
		printf("%s entities compared, %s %s\n",
			ctl_number(ctl_json_number(validation, "compared"), compared),
			differences > 0 ? ctl_number(differences, count) : "no",
			differences > 1 ? "differences" : "difference");
		print_findings(validation);
	}
	return !ctl_json_is(validation, "state", "done") ? CTL_FAILED
	       : differences > 0                         ? CTL_WRONG
							 : CTL_FINE;
}

enum ctl_status ctl_validate(const struct ctl_args *args)
{
	bool json = args->given[CTL_JSON];
	const struct ctl_wait wait = {".validate", "comparing", "compared", json};
	enum ctl_status status = CTL_FAILED;
	struct ctl_mount mount;
	struct err err = {0};
	cJSON *validation = NULL;
	int ret = ctl_mount_find(&mount, args->operands[0], &err);

	if (!ret) {
		ret = ctl_mount_write(&mount, ".validate", "run", &err);
		/* one runs already: it will do */
		ret = ret == -EBUSY ? 0 : ret;
	}
	if (!ret)
		ret = ctl_wait_for_end(&mount, &wait, &validation, &err);
	/* whoever looks on goes, and with him the reason for it */
	if (ret == -EINTR) {
		ctl_mount_write(&mount, ".validate", "stop", NULL);
		ctl_interrupted();
	} else if (ret) {
		ctl_complain("%s", err.text);
	} else {
		status = tell(validation, json);
	}
	cJSON_Delete(validation);
	ctl_mount_release(&mount);
	return status;
}
