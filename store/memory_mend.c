/* SPDX-License-Identifier: MIT */
#include "memory_mend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bad_file.h"
#include "check.h"
#include "memory_eav.h"
#include "memory_event.h"

/* ---- saved/data.mdb ---- */

static const char SAVED[] = "saved/data.mdb";

/* The first thing that is wrong, and where the file went. */
static void take_line(void *context, const struct check_line *line)
{
	struct remade *remade = context;
	size_t len = strlen(remade->text);

	if (strcmp(line->file, SAVED) != 0 || (len && !line->done))
		return;
	snprintf(remade->text + len, sizeof(remade->text) - len, "%s%s%s%s", len ? "; " : "",
		line->where, line->where[0] ? ": " : "", line->what);
}

int memory_mend_saved(const char *store_path, struct remade *remade, struct err *err)
{
	struct store_dir dir = STORE_DIR_NONE;
	struct check check = {
		.path = store_path, .repair = true, .saved_alone = true, .say = take_line};
	int ret = store_dir_open(&dir, store_path, false, false, err);

	*remade = (struct remade){.since_s = (long long)time(NULL)};
	check.context = remade;
	check.dir_fd = dir.dir_fd;
	if (!ret)
		ret = check_store(&check, err);
	if (!ret)
		bad_file_prune(dir.dir_fd, SAVED);
	remade->doubtful = check.doubtful;
	store_dir_close(&dir);
	return ret;
}

/* ---- data.mdb ---- */

static int move_away(struct memory *m, struct buf *kept, struct err *err)
{
	int fd = m->dir.dir_fd;
	int ret = bad_file_keep(fd, "data.mdb", kept, err);

	if (!ret && unlinkat(fd, "data.mdb", 0) && errno != ENOENT)
		ret = err_set(err, -errno, "data.mdb: %s", strerror(errno));
	if (!ret && fsync(fd))
		ret = err_set(err, -errno, "data.mdb: %s", strerror(errno));
	return ret;
}

int memory_mend_eav(struct memory *m, const struct err *why, struct err *err)
{
	struct remade remade = {.since_s = (long long)time(NULL)};
	struct buf kept = BUF_INIT;
	int ret;

	pthread_rwlock_wrlock(&m->lock);
	memory_eav_close(m);
	/* so that a mount after a kill from here on makes all of it anew, too */
	m->eav.remade = true;
	pthread_rwlock_unlock(&m->lock);
	ret = memory_eav_note(m, false, err);
	if (!ret)
		ret = move_away(m, &kept, err);
	if (!ret) {
		snprintf(remade.text, sizeof(remade.text), "%.500s; as it was, it is %.40s",
			why->text, kept.len ? kept.ptr : "gone");
		bad_file_prune(m->dir.dir_fd, "data.mdb");
		memory_tell_remade(m, FAILING_EAV, &remade);
	}
	buf_release(&kept);
	return ret;
}
