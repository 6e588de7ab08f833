/* SPDX-License-Identifier: MIT */
#include "ctl.h"
#include "ctl_mount.h"

#include <stdio.h>

static int switch_to(const struct ctl_mount *mount, const char *word, bool force, struct err *err)
{
	char text[64];

	/* a longer word is no mode either */
	snprintf(text, sizeof(text), "%s%.50s", force ? "force " : "", word);
	return ctl_mount_write(mount, ".mode", text, err);
}

static int show(const struct ctl_mount *mount, bool json, struct err *err)
{
	struct buf text = BUF_INIT;
	int ret = ctl_mount_read(mount, ".mode", &text, err);

	if (!ret && text.len && json)
		printf("{\"mode\": \"%.*s\"}\n", (int)text.len - 1, text.ptr);
	else if (!ret)
		printf("%.*s", (int)text.len, text.ptr);
	buf_release(&text);
	return ret;
}

enum ctl_status ctl_mode(const struct ctl_args *args)
{
	struct ctl_mount mount;
	struct err err = {0};
	int ret = ctl_mount_find(&mount, args->operands[0], &err);

	if (!ret && args->operands[1])
		ret = switch_to(&mount, args->operands[1], args->given[CTL_MODE_FORCE], &err);
	if (!ret)
		ret = show(&mount, args->given[CTL_JSON], &err);
	ctl_mount_release(&mount);
	return ctl_end(ret, &err);
}

enum ctl_status ctl_sync(const struct ctl_args *args)
{
	struct ctl_mount mount;
	struct err err = {0};
	int ret = ctl_mount_find(&mount, args->operands[0], &err);

	if (!ret)
		ret = ctl_mount_write(&mount, ".sync", "1\n", &err);
	ctl_mount_release(&mount);
	return ctl_end(ret, &err);
}
