/* SPDX-License-Identifier: MIT */
#include "saved_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 1, DOCUMENTS = 0, NOTES = 1 };

static const char *const TABLES[] = {[DOCUMENTS] = "documents", [NOTES] = ENV_MARK};

static int fail(struct err *err)
{
	int code = -errno;

	return err_set(err, code, "saved: %s", strerror(-code));
}

/* STORE/saved, made where missing; *fd stays -1 where it is missing and must not be made. */
static int open_dir(int store_fd, bool read_only, int *fd, struct err *err)
{
	if (!read_only && mkdirat(store_fd, "saved", 0700) == 0) {
		if (fsync(store_fd))
			return fail(err);
	} else if (!read_only && errno != EEXIST) {
		return fail(err);
	}
	*fd = openat(store_fd, "saved", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*fd < 0 && !(read_only && errno == ENOENT))
		return fail(err);
	return 0;
}

static int open_env(struct saved *saved, int fd, const char *store_path, bool read_only,
	struct err *err)
{
	struct env_options options = {.name = "saved/data.mdb",
		.format = FORMAT,
		.tables = TABLES,
		.table_count = sizeof(TABLES) / sizeof(*TABLES),
		.read_only = read_only,
		.write_rank = LOCK_SAVED_WRITE,
		.map_rank = LOCK_SAVED_MAP};
	struct buf path = BUF_INIT;
	int ret;

	buf_add_str(&path, store_path);
	buf_add_str(&path, "/saved");
	buf_cstr(&path);
	if (buf_error(&path))
		ret = err_set(err, -ENOMEM, "out of memory");
	else
		ret = env_open(&saved->env, fd, path.ptr, &options, err);
	buf_release(&path);
	saved->documents = saved->env.tables[DOCUMENTS];
	saved->notes = saved->env.tables[NOTES];
	return ret;
}

int saved_open(struct saved **saved, int dir_fd, const char *path, bool read_only, struct err *err)
{
	struct saved *s = calloc(1, sizeof(*s));
	int fd = -1;
	int ret;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	ret = open_dir(dir_fd, read_only, &fd, err);
	if (!ret && fd >= 0)
		ret = open_env(s, fd, path, read_only, err);
	if (fd >= 0)
		close(fd);
	if (ret) {
		saved_close(s);
		return ret;
	}
	*saved = s;
	return 0;
}

bool saved_unmap_step(struct saved *saved, size_t *at)
{
	return saved && env_unmap_step(&saved->env, at);
}

void saved_compact(struct saved *saved)
{
	env_compact(&saved->env);
}

void saved_close(struct saved *saved)
{
	if (!saved)
		return;
	env_close(&saved->env);
	free(saved);
}
