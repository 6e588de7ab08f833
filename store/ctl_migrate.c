/* SPDX-License-Identifier: MIT */
#include "ctl.h"
#include "ctl_mount.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static bool is(const cJSON *migration, const char *state)
{
	return strcmp(ctl_json_text(migration, "state"), state) == 0;
}

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
	if (is(migration, "idle")) {
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
static void leave(struct ctl_progress *progress, const struct ctl_mount *mount)
{
	ctl_progress_end(progress);
	printf("the migration goes on: ourofsctl migrate %s shows how far it is, "
	       "ourofsctl migrate %s stop ends it\n",
		mount->root, mount->root);
	fflush(stdout);
	signal(SIGINT, SIG_DFL);
	raise(SIGINT);
}

static int wait_for_end(const struct ctl_mount *mount, bool quiet, cJSON **migration,
	struct err *err)
{
	struct ctl_progress progress;
	int ret;

	ctl_progress_begin(&progress);
	for (;;) {
		const cJSON *left;

		cJSON_Delete(*migration);
		ret = ctl_mount_json(mount, ".migrate", migration, err);
		if (ret || (!is(*migration, "running") && !is(*migration, "paused")))
			break;
		left = cJSON_GetObjectItemCaseSensitive(*migration, "left_s");
		if (!quiet)
			ctl_progress_show(&progress,
				is(*migration, "paused") ? "paused" : "migrating",
				ctl_json_number(*migration, "done") +
					ctl_json_number(*migration, "failed"),
				ctl_json_number(*migration, "total"),
				ctl_json_number(*migration, "rate"),
				cJSON_IsNumber(left) ? left->valuedouble : -1);
		if (ctl_progress_pause())
			leave(&progress, mount);
	}
	ctl_progress_end(&progress);
	return ret;
}

/* One that does the same already is as good as a new one. */
static int begin(const struct ctl_mount *mount, const char *what, struct err *err)
{
	cJSON *migration = NULL;
	int ret = ctl_mount_json(mount, ".migrate", &migration, err);
	bool same = !ret && is(migration, "running") &&
		    strcmp(ctl_json_text(migration, "what"), what) == 0;

	cJSON_Delete(migration);
	return ret || same ? ret : ctl_mount_write(mount, ".migrate", what, err);
}

static enum ctl_status tell(const cJSON *migration, bool json)
{
	if (json)
		ctl_json_print(migration);
	else
		print_summary(migration);
	if (is(migration, "failed"))
		return CTL_FAILED;
	return ctl_json_number(migration, "failed") > 0 ? CTL_WRONG : CTL_FINE;
}

enum ctl_status ctl_migrate(const struct ctl_args *args)
{
	bool json = args->given[CTL_JSON];
	enum ctl_status status = CTL_FAILED;
	struct ctl_mount mount;
	struct err err = {0};
	cJSON *migration = NULL;
	int ret = ctl_mount_find(&mount, args->operands[0], &err);

	if (!ret && args->operands[1])
		ret = begin(&mount, args->operands[1], &err);
	if (!ret)
		ret = args->given[CTL_MIGRATE_WAIT]
			      ? wait_for_end(&mount, json, &migration, &err)
			      : ctl_mount_json(&mount, ".migrate", &migration, &err);
	if (!ret)
		status = tell(migration, json);
	else
		ctl_complain("%s", err.text);
	cJSON_Delete(migration);
	ctl_mount_release(&mount);
	return status;
}
