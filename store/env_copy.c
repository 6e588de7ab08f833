/* SPDX-License-Identifier: MIT */
#include "env_copy.h"

#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As env_open.c has it: who attaches to a lock file that exists has no say, who makes it has. */
enum { READERS_MAX = 1024 };

static int fail(struct err *err, const char *path, int lmdb_code)
{
	return err_set(err, env_code(lmdb_code), "%s/data.mdb: %s", path, mdb_strerror(lmdb_code));
}

static int copy_to(MDB_env *env, const char *to, struct err *err)
{
	char path[4096];
	int fd, ret;

	if (snprintf(path, sizeof(path), "%s/data.mdb", to) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: %s", to, strerror(ENAMETOOLONG));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	/* its writer may have made the file larger since it was opened: told before anything is copied */
	while ((ret = mdb_env_copyfd(env, fd)) == MDB_MAP_RESIZED)
		if ((ret = mdb_env_set_mapsize(env, 0)))
			break;
	if (ret)
		fail(err, to, ret);
	if (close(fd) && !ret)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	return ret ? env_code(ret) : 0;
}

int env_copy(const char *from, const char *to, struct err *err)
{
	char path[4096];
	MDB_env *env;
	int ret;

	if (snprintf(path, sizeof(path), "%s/data.mdb", from) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: %s", from, strerror(ENAMETOOLONG));
	if (access(path, F_OK))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	ret = mdb_env_create(&env);
	if (ret)
		return fail(err, from, ret);
	mdb_env_set_maxreaders(env, READERS_MAX);
	ret = mdb_env_open(env, from, MDB_RDONLY | MDB_NOTLS, 0600);
	if (ret)
		ret = fail(err, from, ret);
	if (!ret)
		ret = copy_to(env, to, err);
	mdb_env_close(env);
	return ret;
}
