/* SPDX-License-Identifier: MIT */
#include "fs.h"

#include <errno.h>
#include <stdlib.h>

#include "adoption.h"
#include "ops.h"
#include "told.h"

static void ops_init(void *userdata, struct fuse_conn_info *connection)
{
	(void)userdata;
	connection->want |= connection->capable & FUSE_CAP_ATOMIC_O_TRUNC;
	/* A node's pages are one version's: they neither age nor hide what a writer has not committed. */
	connection->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE);
}

const struct fuse_lowlevel_ops fs_operations = {
	.init = ops_init,
	.lookup = ops_lookup,
	.forget = ops_forget,
	.forget_multi = ops_forget_multi,
	.getattr = ops_getattr,
	.setattr = ops_setattr,
	.statfs = ops_statfs,
	.getxattr = ops_getxattr,
	.listxattr = ops_listxattr,
	.setxattr = ops_setxattr,
	.removexattr = ops_removexattr,
	.opendir = ops_opendir,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.releasedir = ops_releasedir,
	.fsyncdir = ops_fsyncdir,
	.mkdir = ops_mkdir,
	.rmdir = ops_rmdir,
	.unlink = ops_unlink,
	.rename = ops_rename,
	.symlink = ops_symlink,
	.link = ops_link,
	.mknod = ops_mknod,
	.open = ops_open,
	.create = ops_create,
	.read = ops_read,
	.write = ops_write,
	.flush = ops_flush,
	.fsync = ops_fsync,
	.release = ops_release,
	.fallocate = ops_fallocate,
	.lseek = ops_lseek,
	.copy_file_range = ops_copy_file_range,
	.flock = ops_flock,
	.getlk = ops_getlk,
	.setlk = ops_setlk,
};

static int open_trees(struct fs *fs, struct err *err)
{
	static const char *const names[TREE_COUNT] = {"scratch", "rejected", "conflicts"};
	int i;

	for (i = 0; i < TREE_COUNT; i++)
		fs->trees[i] = (struct scratch){.root = -1, .staging = -1};
	for (i = 0; i < TREE_COUNT; i++) {
		struct err reason = {0};
		int ret = scratch_open(&fs->trees[i], fs->options->store_dir, names[i],
			!fs->options->read_only,
			i == TREE_SCRATCH ? fs->options->scratch_max_bytes : 0, &reason);

		/* A read-only mount makes nothing and can do without. */
		if (ret && !fs->options->read_only) {
			if (err)
				*err = reason;
			return ret;
		}
	}
	return 0;
}

int fs_new(struct fs **out, const struct options *options, struct memory *memory, struct err *err)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	pthread_mutexattr_t recursive;
	int ret;

	if (!fs)
		return err_set(err, -ENOMEM, "out of memory");
	fs->options = options;
	fs->memory = memory;
	clock_gettime(CLOCK_REALTIME, &fs->started);
	pthread_rwlock_init(&fs->moves, NULL);
	pthread_mutex_init(&fs->lock, NULL);
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&fs->settling, &recursive);
	pthread_mutexattr_destroy(&recursive);
	pthread_cond_init(&fs->published, NULL);
	ret = open_trees(fs, err);
	if (!ret)
		ret = node_table_init(&fs->nodes, FUSE_ROOT_ID);
	if (!ret)
		ret = document_table_init(&fs->documents);
	if (!ret)
		ret = locks_new(&fs->locks);
	if (!ret)
		ret = refusals_new(&fs->refusals, &fs->trees[TREE_REJECTED]);
	if (!ret)
		ret = events_new(&fs->events);
	if (ret) {
		fs_free(fs);
		return err && err->text[0] ? ret
					   : err_set(err, ret, "can't start: %s", strerror(-ret));
	}
	*out = fs;
	return 0;
}

int fs_start(struct fs *fs, struct fuse_session *session)
{
	int ret;

	fs->session = session;
	ret = notifier_new(&fs->notifier, session);
	if (!ret)
		memory_on_adoption(fs->memory, adoption_event, fs);
	if (!ret)
		memory_on_event(fs->memory, told_event, fs);
	return ret;
}

/* A connection that was cut (umount -l, abort) sends no RELEASE: what is open is judged all the same. */
static void close_handles(struct fs *fs)
{
	while (fs->open_handles)
		ops_close(fs, fs->open_handles);
}

void fs_stop(struct fs *fs)
{
	memory_on_adoption(fs->memory, NULL, NULL);
	pthread_mutex_lock(&fs->lock);
	while (fs->slow_threads)
		pthread_cond_wait(&fs->published, &fs->lock);
	while (fs->expectations)
		expectation_drop(fs, fs->expectations);
	pthread_mutex_unlock(&fs->lock);
	locks_stop(fs->locks);
	close_handles(fs);
	memory_on_event(fs->memory, NULL, NULL);
	notifier_free(fs->notifier);
	fs->notifier = NULL;
}

void fs_free(struct fs *fs)
{
	int i;

	if (!fs)
		return;
	notifier_free(fs->notifier);
	refusals_free(fs->refusals);
	locks_free(fs->locks);
	document_table_release(&fs->documents);
	node_table_release(&fs->nodes);
	for (i = 0; i < TREE_COUNT; i++)
		scratch_close(&fs->trees[i]);
	events_free(fs->events);
	pthread_cond_destroy(&fs->published);
	pthread_mutex_destroy(&fs->lock);
	pthread_mutex_destroy(&fs->settling);
	pthread_rwlock_destroy(&fs->moves);
	free(fs);
}
