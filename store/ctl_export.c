/* SPDX-License-Identifier: MIT */
#include "atomic_file.h"
#include "backup.h"
#include "copy_tree.h"
#include "ctl_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is there ---- */

static int read_text(struct ctl_memory *cm, const char *mapping, struct buf *text, struct err *err)
{
	int ret = ctl_memory_open(cm, mapping, true, err);

	if (!ret) {
		ret = memory_text(cm->memory, text);
		if (ret)
			err_set(err, ret, "%s", strerror(-ret));
	}
	return ret;
}

static int read_copy(const char *dir, const char *mapping, struct buf *text, struct err *err)
{
	char *store = NULL;
	struct ctl_memory copy;
	int ret = asprintf(&store, "%s/memory.eav", dir) < 0 ? -ENOMEM : 0;

	if (ret)
		return err_set(err, ret, "out of memory");
	ret = ctl_memory_find(&copy, store, NULL, err);
	if (!ret)
		ret = read_text(&copy, mapping, text, err);
	ctl_memory_close(&copy, NULL);
	free(store);
	return ret;
}

/* While it is mounted, a copy of it is read. */
static int read_mounted(const struct ctl_memory *cm, const char *mapping, struct buf *text,
	struct err *err)
{
	const char *temporary = getenv("TMPDIR");
	struct backup backup = {.store = cm->store, .edn = cm->edn};
	char *dir = NULL;
	int ret;

	if (asprintf(&dir, "%s/ourofsctl-XXXXXX", temporary ? temporary : "/tmp") < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (!mkdtemp(dir)) {
		ret = err_set(err, -errno, "%s: %s", dir, strerror(errno));
		free(dir);
		return ret;
	}
	backup.to = dir;
	ret = backup_make(&backup, err);
	if (!ret)
		ret = read_copy(dir, mapping, text, err);
	remove_tree(dir);
	free(dir);
	return ret;
}

/* ---- where it goes ---- */

static int write_file(const char *path, const struct buf *text, struct err *err)
{
	const struct iovec iov = {text->ptr, text->len};
	struct atomic_file file;
	struct stat st;
	char *whole = path[0] == '/' ? strdup(path) : NULL;
	int ret = 0;

	if (!whole && (path[0] == '/' || asprintf(&whole, "./%s", path) < 0))
		return err_set(err, -ENOMEM, "out of memory");
	atomic_file_sweep(whole);
	ret = atomic_file_begin(&file, whole, &(struct atomic_owner){.mode = 0600}, err);
	if (!ret) {
		ret = atomic_file_write(&file, &iov, 1, NULL, err);
		if (!ret)
			ret = atomic_file_sync(&file, &st, err);
		if (!ret)
			ret = atomic_file_commit(&file, &st, err);
		atomic_file_end(&file);
	}
	free(whole);
	return ret;
}

static int check_target(const struct ctl_memory *cm, const char *path, struct err *err)
{
	struct stat ours, target;

	if (path && stat(cm->edn, &ours) == 0 && stat(path, &target) == 0 &&
		ours.st_dev == target.st_dev && ours.st_ino == target.st_ino)
		return err_set(err, -EINVAL, "%s is the memory.edn of the store itself", path);
	return 0;
}

enum ctl_status ctl_export(const struct ctl_args *args)
{
	const char *mapping = args->values[CTL_MAPPING];
	const char *to = args->operands[1];
	struct buf text = BUF_INIT;
	struct ctl_memory cm;
	struct err err = {0};
	int ret = ctl_memory_find(&cm, args->operands[0], args->values[CTL_EDN], &err);

	umask(077);
	if (!ret)
		ret = check_target(&cm, to, &err);
	if (!ret) {
		ret = read_text(&cm, mapping, &text, &err);
		if (ret == -EBUSY) {
			err = (struct err){0};
			ret = read_mounted(&cm, mapping, &text, &err);
		}
	}
	ctl_memory_close(&cm, NULL);
	if (!ret && to)
		ret = write_file(to, &text, &err);
	else if (!ret)
		fwrite(text.ptr, 1, text.len, stdout); /* main looks whether it went well */
	buf_release(&text);
	return ctl_end(ret, &err);
}
