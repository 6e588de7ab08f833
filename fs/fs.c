/* SPDX-License-Identifier: MIT */
#include "fs.h"

#include <errno.h>
#include <stdlib.h>

#include "adoption.h"
#include "lock_order.h"
#include "metrics.h"
#include "ops.h"
#include "told.h"

/* All drafts together may take so much, or as much as so many of the largest documents. */
enum { DRAFTS_MAX = 256 << 20, DRAFTS_OF_THE_LARGEST = 4 };

static size_t room_for_drafts(size_t doc_max)
{
	if (doc_max > SIZE_MAX / DRAFTS_OF_THE_LARGEST)
		return SIZE_MAX;
	doc_max *= DRAFTS_OF_THE_LARGEST;
	return doc_max > DRAFTS_MAX ? doc_max : DRAFTS_MAX;
}

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
	int ret;

	if (!fs)
		return err_set(err, -ENOMEM, "out of memory");
	fs->options = options;
	fs->memory = memory;
	fs->draft_room.each = options->doc_max_bytes;
	fs->draft_room.all = room_for_drafts(options->doc_max_bytes);
	clock_gettime(CLOCK_REALTIME, &fs->started);
	rwlock_init_for_writers(&fs->moves, LOCK_MOVES);
	mutex_init(&fs->lock, LOCK_FS);
	mutex_init_recursive(&fs->settling, LOCK_SETTLING);
	pthread_cond_init(&fs->published, NULL);
	mutex_init(&fs->prunable.lock, LOCK_PRUNABLE);
	ret = open_trees(fs, err);
	if (!ret && !options->read_only)
		prune_left_over(fs);
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
	if (!ret)
		ret = metrics_new(&fs->metrics);
	if (ret) {
		fs_free(fs);
		return err && err->text[0] ? ret
					   : err_set(err, ret, "can't start: %s", strerror(-ret));
	}
	*out = fs;
	return 0;
}

static void told(void *context, fuse_ino_t parent)
{
	struct fs *fs = context;

	pthread_mutex_lock(&fs->lock);
	node_unref(&fs->nodes, node_of(fs, parent));
	pthread_mutex_unlock(&fs->lock);
}

void fs_tell_stale(struct fs *fs, struct node *parent, struct slice name,
	const struct notice_answer *answer)
{
	if (notifier_entry(fs->notifier, ino_of(fs, parent), name, answer))
		told(fs, ino_of(fs, parent));
}

int fs_start(struct fs *fs, struct fuse_session *session)
{
	int ret;

	fs->session = session;
	ret = notifier_new(&fs->notifier, session, told, fs);
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
	prune_now(fs);
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
	metrics_free(fs->metrics);
	pthread_mutex_destroy(&fs->prunable.lock);
	pthread_cond_destroy(&fs->published);
	pthread_mutex_destroy(&fs->lock);
	pthread_mutex_destroy(&fs->settling);
	pthread_rwlock_destroy(&fs->moves);
	free(fs);
}
