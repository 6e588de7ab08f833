/* SPDX-License-Identifier: MIT */
#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env_closed.h"
#include "env_private.h"
#include "regular.h"

/*
 * LMDB never makes a file smaller, and puts what takes many pages where as many are free in a row: with large documents
 * coming and going it grows for long. Copying takes as long as reading it all, so it is done when that is worth it.
 */
enum { WORTHWHILE_BYTES = 8 << 20 };

/* The database of free pages: of each transaction a list, its length first. */
enum { FREE_DBI = 0 };

static int count_free(MDB_env *mdb, size_t *pages)
{
	MDB_cursor *cursor;
	MDB_val key, list;
	MDB_txn *txn;
	size_t length;
	int ret = mdb_txn_begin(mdb, NULL, MDB_RDONLY, &txn);

	*pages = 0;
	if (ret)
		return ret;
	ret = mdb_cursor_open(txn, FREE_DBI, &cursor);
	if (!ret) {
		while (!(ret = mdb_cursor_get(cursor, &key, &list, MDB_NEXT))) {
			memcpy(&length, list.mv_data, sizeof(length));
			*pages += length;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return ret == MDB_NOTFOUND ? 0 : ret;
}

static bool is_worthwhile(MDB_env *mdb)
{
	size_t free_pages, pages;
	MDB_envinfo info;
	MDB_stat st;

	if (mdb_env_info(mdb, &info) || mdb_env_stat(mdb, &st))
		return false;
	pages = info.me_last_pgno + 1;
	return pages * st.ms_psize >= WORTHWHILE_BYTES && !count_free(mdb, &free_pages) &&
	       free_pages > pages / 2;
}

/* Whoever copies it now, as a backup does, would have a lock file in common with another file's users. */
static int lock_alone(int dir_fd)
{
	/* as LMDB does: the first byte */
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	int fd = regular_open(dir_fd, "lock.mdb", O_RDWR);

	if (fd >= 0 && fcntl(fd, F_SETLK, &lock)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int copy_to(const char *path, int fd)
{
	MDB_env *mdb;
	int ret = mdb_env_create(&mdb);

	if (ret)
		return ret;
	ret = mdb_env_open(mdb, path, MDB_RDONLY | MDB_NOLOCK, 0600);
	if (!ret)
		ret = mdb_env_copyfd2(mdb, fd, MDB_CP_COMPACT);
	mdb_env_close(mdb);
	return ret;
}

static void replace(int dir_fd)
{
	struct stat st;
	char path[32];
	int fd, ret;

	unlinkat(dir_fd, ENV_COMPACTED, 0);
	fd = regular_open(dir_fd, ENV_COMPACTED, O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
	ret = copy_to(path, fd);
	if (!ret && (fstat(fd, &st) || !st.st_size || fsync(fd)))
		ret = EIO;
	close(fd);
	if (ret || renameat(dir_fd, ENV_COMPACTED, dir_fd, "data.mdb"))
		unlinkat(dir_fd, ENV_COMPACTED, 0);
	else
		fsync(dir_fd);
}

void env_compact(struct env *env)
{
	int lock;

	if (env->read_only || !env_is_whole(env) || !env_is_own(env) || !is_worthwhile(env->mdb))
		return;
	env_detach(env);
	lock = lock_alone(env->dir_fd);
	if (lock >= 0) {
		replace(env->dir_fd);
		close(lock);
	}
	env_note_closed(env->dir_fd);
}
