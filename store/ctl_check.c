/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "check_edn.h"
#include "store_dir.h"

/* What is found is printed as it is found, or with --json all of it at the end, as a list. */
struct report {
	cJSON *list; /* NULL: lines */
	bool failed; /* no memory for it */
};

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789:") == strlen(text);
}

/* "FILE:OFFSET: what", as compilers say it, or "FILE: where: what". */
static void print_line(const struct check_line *line)
{
	char *text = NULL;
	int ret;

	if (!*line->where)
		ret = asprintf(&text, "%s: %s", line->file, line->what);
	else
		ret = asprintf(&text, "%s:%s%s: %s", line->file, is_number(line->where) ? "" : " ",
			line->where, line->what);
	puts(ret < 0 ? line->file : ctl_printable(text));
	if (ret >= 0)
		free(text);
}

static void say(void *context, const struct check_line *line)
{
	struct report *report = context;
	cJSON *item;

	if (!report->list) {
		print_line(line);
		return;
	}
	item = cJSON_CreateObject();
	report->failed |=
		!cJSON_AddStringToObject(item, "file", line->file) ||
		!cJSON_AddStringToObject(item, "where", line->where) ||
		!cJSON_AddStringToObject(item, line->done ? "done" : "problem", line->what) ||
		!cJSON_AddItemToArray(report->list, item);
}

static void print_end(const struct report *report, const char *path, size_t problems)
{
	char *text;

	if (!report->list && !problems)
		printf("%s: no problem\n", path);
	else if (!report->list)
		printf("%s: %zu %s\n", path, problems, problems == 1 ? "problem" : "problems");
	if (!report->list)
		return;
	text = cJSON_Print(report->list);
	puts(text ? text : "[]");
	cJSON_free(text);
}

/* ---- a store ---- */

/* Neither a store nor a lock is made by looking for them. */
static int open_store(struct store_dir *dir, const char *path, bool repair, struct err *err)
{
	struct stat st;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	if (ret)
		return err_set(err, ret, "%s: %s", path, strerror(-ret));
	if (fstatat(fd, "journal", &st, AT_SYMLINK_NOFOLLOW))
		ret = err_set(err, -errno, "%s: no journal in it: %s", path, strerror(errno));
	close(fd);
	return ret ? ret : store_dir_open(dir, path, !repair, false, err);
}

static int check_dir(const char *path, bool repair, struct report *report, size_t *problems,
	struct err *err)
{
	struct check check = {.path = path, .repair = repair, .say = say, .context = report};
	struct store_dir dir = STORE_DIR_NONE;
	int ret = open_store(&dir, path, repair, err);

	check.dir_fd = dir.dir_fd;
	if (!ret)
		ret = check_store(&check, err);
	store_dir_close(&dir);
	*problems = check.problems;
	return ret;
}

/* ---- either ---- */

static int check_path(const char *path, bool repair, struct report *report, size_t *problems,
	struct err *err)
{
	struct stat st;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return check_dir(path, repair, report, problems, err);
	if (repair)
		return err_set(err, -EINVAL,
			"%s: only a store can be repaired: what is wrong with a file of EDN, its "
			"writer or you must put right",
			path);
	return check_edn_file(path, say, report, problems, err);
}

enum ctl_status ctl_check(const struct ctl_args *args)
{
	const char *path = args->operands[0];
	bool json = args->given[CTL_CHECK_JSON];
	struct report report = {json ? cJSON_CreateArray() : NULL, false};
	struct err err = {0};
	size_t problems = 0;
	int ret = json && !report.list ? -ENOMEM : 0;

	if (!ret)
		ret = check_path(path, args->given[CTL_CHECK_REPAIR], &report, &problems, &err);
	if (!ret && report.failed)
		ret = -ENOMEM;
	if (!ret || report.list)
		print_end(&report, path, problems);
	cJSON_Delete(report.list);
	if (ret) {
		ctl_complain("%s", err.code ? err.text : strerror(-ret));
		return CTL_FAILED;
	}
	return problems ? CTL_WRONG : CTL_FINE;
}
