/* SPDX-License-Identifier: MIT */
#include "ctl.h"
#include "ctl_mount.h"

#include <errno.h>
#include <stdio.h>

static void print_failures(const cJSON *migration)
{
	const cJSON *one;

	cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(migration, "failures"))
		printf("    %s: %s\n", ctl_json_text(one, "key"), ctl_json_text(one, "error"));
}

static void print_summary(const cJSON *migration)
{
	const char *what = ctl_json_text(migration, "what");
	char done[32], total[32], skipped[32], failed[32];

	ctl_number(ctl_json_number(migration, "done"), done);
	ctl_number(ctl_json_number(migration, "total"), total);
	if (ctl_json_is(migration, "state", "idle")) {
		printf("no migration since the mount; all, for one, begins it\n");
		return;
	}
	printf("%s: %s, %s of %s entities", what, ctl_json_text(migration, "state"), done, total);
	if (ctl_json_number(migration, "skipped") > 0)
		printf(", %s of them were there already",
			ctl_number(ctl_json_number(migration, "skipped"), skipped));
	if (ctl_json_number(migration, "failed") > 0)
		printf(", %s could not be brought there",
			ctl_number(ctl_json_number(migration, "failed"), failed));
	if (*ctl_json_text(migration, "error"))
		printf(": %s", ctl_json_text(migration, "error"));
	putchar('\n');
	print_failures(migration);
}

/* Whoever looks on may go: the daemon does the work. */
static void leave(const struct ctl_mount *mount)
{
	printf("the migration goes on: ourofsctl migrate %s shows how far it is, "
	       "ourofsctl migrate %s stop ends it\n",
		mount->root, mount->root);
	ctl_interrupted();
}

/* One that does the same already is as good as a new one. */
static int begin(const struct ctl_mount *mount, const char *what, struct err *err)
{
	cJSON *migration = NULL;
	int ret = ctl_mount_json(mount, ".migrate", &migration, err);
	bool same = !ret && ctl_json_is(migration, "state", "running") &&
		    ctl_json_is(migration, "what", what);

	cJSON_Delete(migration);
	return ret || same ? ret : ctl_mount_write(mount, ".migrate", what, err);
}

static enum ctl_status tell(const cJSON *migration, bool json)
{
	if (json)
		ctl_json_print(migration);
	else
		print_summary(migration);
	if (ctl_json_is(migration, "state", "failed"))
		return CTL_FAILED;
	return ctl_json_number(migration, "failed") > 0 ? CTL_WRONG : CTL_FINE;
}

enum ctl_status ctl_migrate(const struct ctl_args *args)
{
	bool json = args->given[CTL_JSON];
	const struct ctl_wait wait = {".migrate", "migrating", "done", json};
	enum ctl_status status = CTL_FAILED;
	struct ctl_mount mount;
	struct err err = {0};
	cJSON *migration = NULL;
	int ret = ctl_mount_find(&mount, args->operands[0], &err);

	if (!ret && args->operands[1])
		ret = begin(&mount, args->operands[1], &err);
	if (!ret)
		ret = args->given[CTL_MIGRATE_WAIT]
			      ? ctl_wait_for_end(&mount, &wait, &migration, &err)
			      : ctl_mount_json(&mount, ".migrate", &migration, &err);
	if (ret == -EINTR)
		leave(&mount);
	else if (!ret)
		status = tell(migration, json);
	else
		ctl_complain("%s", err.text);
	cJSON_Delete(migration);
	ctl_mount_release(&mount);
	return status;
}
