/* SPDX-License-Identifier: MIT */
#include "ctl_mount.h"

#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- finding it ---- */

static bool is_below(const char *path, const char *root)
{
	size_t len = strlen(root);

	return strncmp(path, root, len) == 0 &&
	       (path[len] == '\0' || path[len] == '/' || strcmp(root, "/") == 0);
}

/* The innermost mount that holds path, the last of those at one place. */
static int find_root(const char *path, char **root, char **type)
{
	FILE *table = setmntent("/proc/self/mounts", "r");
	struct mntent *entry;

	*root = *type = NULL;
	if (!table)
		return -errno;
	while ((entry = getmntent(table))) {
		if (!is_below(path, entry->mnt_dir) ||
			(*root && strlen(entry->mnt_dir) < strlen(*root)))
			continue;
		free(*root);
		free(*type);
		*root = strdup(entry->mnt_dir);
		*type = strdup(entry->mnt_type);
	}
	endmntent(table);
	return *root && *type ? 0 : -ENOMEM;
}

static int stale(const char *path, struct err *err)
{
	return err_set(err, -ENOTCONN,
		"a mount is left here whose daemon is gone: `fusermount3 -u -z %s` mends it", path);
}

int ctl_mount_find(struct ctl_mount *mount, const char *path, struct err *err)
{
	char *whole = realpath(path, NULL);
	char *type = NULL;
	int ret = whole ? 0 : -errno;

	mount->root = NULL;
	if (ret == -ENOTCONN)
		return stale(path, err);
	if (ret)
		return err_set(err, ret, "%s: %s", path, strerror(-ret));
	ret = find_root(whole, &mount->root, &type);
	if (ret)
		err_set(err, ret, "/proc/self/mounts: %s", strerror(-ret));
	else if (strcmp(type, "fuse.ourofs") != 0)
		ret = err_set(err, -ENODEV,
			"%s: no ourofs is mounted there (%s, which it is on, is %s)", path,
			mount->root, type);
	else if (access(mount->root, F_OK) && errno == ENOTCONN)
		ret = stale(mount->root, err);
	free(whole);
	free(type);
	if (ret)
		ctl_mount_release(mount);
	return ret;
}

void ctl_mount_release(struct ctl_mount *mount)
{
	free(mount->root);
	mount->root = NULL;
}

/* ---- control files ---- */

char *ctl_mount_path(const struct ctl_mount *mount, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", mount->root, name) < 0 ? NULL : path;
}

static int open_file(const struct ctl_mount *mount, const char *name, int flags)
{
	char *path = ctl_mount_path(mount, name);
	int fd = path ? open(path, flags | O_CLOEXEC) : -1;
	int ret = fd >= 0 ? fd : path ? -errno : -ENOMEM;

	free(path);
	return ret;
}

static int fail(const struct ctl_mount *mount, const char *name, int ret, struct err *err)
{
	if (ret == -ENOTCONN)
		return stale(mount->root, err);
	return err_set(err, ret, "%s/%s: %s", mount->root, name, strerror(-ret));
}

int ctl_mount_read(const struct ctl_mount *mount, const char *name, struct buf *text,
	struct err *err)
{
	char part[65536];
	int fd = open_file(mount, name, O_RDONLY);
	ssize_t got = 0;
	int ret = fd < 0 ? fd : 0;

	while (!ret && (got = read(fd, part, sizeof(part))) > 0)
		buf_add(text, part, (size_t)got);
	if (got < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	if (!ret)
		ret = buf_error(text);
	return ret ? fail(mount, name, ret, err) : 0;
}

int ctl_mount_json(const struct ctl_mount *mount, const char *name, cJSON **json, struct err *err)
{
	struct buf text = BUF_INIT;
	int ret = ctl_mount_read(mount, name, &text, err);

	*json = ret ? NULL : cJSON_ParseWithLength(text.ptr, text.len);
	if (!ret && !*json)
		ret = err_set(err, -EBADMSG, "%s/%s: no JSON", mount->root, name);
	buf_release(&text);
	return ret;
}

/* The last line of .errors, if it is about name: "TIME NAME: cause". */
static void explain(const struct ctl_mount *mount, const char *name, int ret, struct err *err)
{
	struct buf text = BUF_INIT;
	const char *line = NULL;

	if (!ctl_mount_read(mount, ".errors", &text, NULL) && text.len) {
		buf_add_char(&text, '\0');
		if (!buf_error(&text)) {
			text.ptr[text.len - 2] = '\0'; /* its newline */
			line = strrchr(text.ptr, '\n');
			line = strstr(line ? line + 1 : text.ptr, name);
		}
	}
	if (line && line[strlen(name)] == ':')
		err_set(err, ret, "%s/%s", mount->root, line);
	else
		err_set(err, ret, "%s/%s: %s", mount->root, name, strerror(-ret));
	buf_release(&text);
}

int ctl_mount_write(const struct ctl_mount *mount, const char *name, const char *text,
	struct err *err)
{
	int fd = open_file(mount, name, O_WRONLY);
	ssize_t put;

	if (fd < 0)
		return fail(mount, name, fd, err);
	put = write(fd, text, strlen(text));
	if (put < 0) {
		int ret = -errno;

		close(fd);
		explain(mount, name, ret, err);
		return ret;
	}
	close(fd);
	return 0;
}

/* ---- printing ---- */

const char *ctl_number(double number, char *text)
{
	char digits[32];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%.0f", number);
	size_t at = 0;

	for (size_t i = 0; i < len && at < 30; i++) {
		text[at++] = digits[i];
		if ((len - i) % 3 == 1 && i + 1 < len && at < 30)
			text[at++] = ',';
	}
	text[at] = '\0';
	return text;
}

const char *ctl_bytes(double bytes, char *text)
{
	static const char *const UNITS[] = {"B", "kB", "MB", "GB", "TB"};
	size_t unit = 0;

	while (bytes >= 1000 && unit < 4) {
		bytes /= 1000;
		unit++;
	}
	snprintf(text, 32, unit && bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, UNITS[unit]);
	return text;
}

double ctl_json_number(const cJSON *json, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

const char *ctl_json_text(const cJSON *json, const char *name)
{
	char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));

	return text ? ctl_printable(text) : "";
}

bool ctl_json_is(const cJSON *json, const char *name, const char *text)
{
	return strcmp(ctl_json_text(json, name), text) == 0;
}

void ctl_json_print(const cJSON *json)
{
	char *text = cJSON_Print(json);

	puts(text ? text : "null");
	cJSON_free(text);
}
