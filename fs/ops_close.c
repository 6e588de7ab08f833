/* SPDX-License-Identifier: MIT */
/* When a writer is done: the verdicts of flush, fsync and release. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop.h"
#include "settle.h"

/* The kernel forgets the name of a document; the answer goes out behind that. */
static void invalidate(struct fs *fs, struct document *document, const struct notice_answer *answer)
{
	struct buf name = BUF_INIT;
	struct node *parent;

	pthread_mutex_lock(&fs->lock);
	parent = document->parent;
	node_ref(parent);
	buf_add(&name, document->name, document->name_len);
	pthread_mutex_unlock(&fs->lock);
	fs_tell_stale(fs, parent, buf_slice(&name), answer);
	buf_release(&name);
}

void ops_answer_stale(struct fs *fs, fuse_req_t req, struct document *document, bool stale,
	int error)
{
	const struct notice_answer answer = {.kind = NOTICE_ERROR, .req = req, .error = error};

	if (stale)
		invalidate(fs, document, &answer);
	else
		fuse_reply_err(req, error);
}

/* A new file that is closed without content stays as an empty file. */
static int keep_empty(struct fs *fs, struct document *document, bool *kept)
{
	struct document_change nothing = {0};
	struct buf path = BUF_INIT;
	struct timespec times[2];
	uint64_t number;
	bool wanted;
	mode_t mode;
	int ret;

	*kept = false;
	pthread_mutex_lock(&fs->lock);
	wanted = document->created && !document->on_disk;
	pthread_mutex_unlock(&fs->lock);
	if (!wanted)
		return 0;
	ret = document_begin(fs, document);
	if (ret)
		return ret;
	pthread_mutex_lock(&fs->lock);
	wanted = document->created && !document->on_disk && !document->dead;
	mode = document->mode;
	times[0] = times[1] = document->made;
	number = document->ino;
	ret = wanted ? document_path(fs, document, &path) : 0;
	pthread_mutex_unlock(&fs->lock);
	if (wanted && !ret) {
		ret = scratch_openfile(&fs->trees[TREE_SCRATCH], buf_slice(&path),
			O_WRONLY | O_CREAT, mode);
		if (ret >= 0) {
			scratch_set_number(ret, number);
			(void)futimens(ret, times);
			close(ret);
		}
		pthread_mutex_lock(&fs->lock);
		document->on_disk = *kept = ret >= 0;
		pthread_mutex_unlock(&fs->lock);
		if (*kept)
			settle_set_directory_time(fs, buf_slice(&path), NULL);
		ret = ret < 0 ? ret : 0;
	}
	document_end(fs, document, &nothing);
	buf_release(&path);
	return ret;
}

/* The empty file was only on the way to content, and that was refused: nothing is there, as before. */
static void drop_empty(struct fs *fs, struct document *document)
{
	struct document_change nothing = {0};
	struct buf path = BUF_INIT;
	bool drop;

	if (document_begin(fs, document))
		return;
	pthread_mutex_lock(&fs->lock);
	drop = document->created && document->on_disk && !document->dead &&
	       !document_path(fs, document, &path);
	if (drop)
		document->on_disk = false;
	pthread_mutex_unlock(&fs->lock);
	if (drop)
		(void)scratch_unlink(&fs->trees[TREE_SCRATCH], buf_slice(&path), false);
	document_end(fs, document, &nothing);
	buf_release(&path);
}

struct standing {
	bool dirty;
	bool only_truncated;
	bool wrote;
	bool opened;
	bool empty;
};

static struct standing standing_of(struct draft *draft, pid_t thread)
{
	struct standing standing = {0};

	pthread_mutex_lock(&draft->lock);
	standing.dirty = draft->dirty;
	standing.only_truncated = draft->only_truncated;
	standing.empty = !draft->bytes.len;
	if (draft->dirty) { /* /proc is asked only for what may be judged */
		standing.wrote = draft_written_by(draft, thread);
		standing.opened = draft_opened_by(draft, thread);
	}
	pthread_mutex_unlock(&draft->lock);
	return standing;
}

/*
 * FLUSH is not close: shells and children flush descriptors that they share. Who neither opened nor
 * wrote has no verdict to give. Valid content is committed whoever of them flushes; other content is
 * an error for the one process that both opened and wrote, or where no continuation can mend it.
 */
static int flush_document(struct fs *fs, struct handle *handle, pid_t thread, bool *stale)
{
	struct standing standing = standing_of(handle->draft, thread);
	struct verdict verdict = {.final = false, .node = handle->node};
	bool kept;
	int ret;

	*stale = false;
	if (!standing.dirty) {
		/* The end of a touch, or a shell's dup2 before the first write. */
		ret = keep_empty(fs, handle->document, &kept);
		if (kept)
			handle->draft->kept_empty = true;
		return ret;
	}
	if (!(standing.wrote || standing.opened) || standing.only_truncated)
		return 0;
	ret = document_judge(fs, handle->document, handle->draft, &verdict);
	*stale = verdict.stale;
	if (ret == -EBADMSG && !(standing.wrote && (standing.opened || !verdict.truncated)))
		return 0; /* unfinished, it may go on; noted in /.rejected all the same */
	return ret;
}

/*
 * Who has been told that what he made is refused takes it for not there: a program asks as soon as close has failed, and
 * RELEASE comes a moment later. Another descriptor may go on, and then it is seen again.
 */
static void note_told(struct fs *fs, struct handle *handle)
{
	struct draft *draft = handle->draft;
	bool told;

	pthread_mutex_lock(&draft->lock);
	told = draft->judged /* else it failed, and RELEASE tries again */ && draft->handles == 1;
	atomic_store(&draft->told, told);
	pthread_mutex_unlock(&draft->lock);
	if (told && draft->kept_empty)
		drop_empty(fs, handle->document);
}

void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct handle *handle = handle_of(fi);
	bool stale = false;
	int ret = 0;

	(void)ino;
	if (handle->kind == HANDLE_DOCUMENT && handle->draft && handle->writable)
		ret = flush_document(fs, handle, thread_of(req), &stale);
	if (ret)
		note_told(fs, handle);
	/* behind that: who waits for the lock is to find what was saved under it */
	locks_drop_posix(fs->locks, handle->ino, fi->lock_owner);
	ops_answer_stale(fs, req, handle->document, stale, -ret);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct handle *handle = handle_of(fi);
	struct verdict verdict = {.final = false, .node = handle->node};
	struct err reason = {0};
	int ret = 0;

	(void)ino;
	if (handle->kind == HANDLE_SCRATCH) {
		loop_stand_aside();
		ret = (datasync ? fdatasync(handle->fd) : fsync(handle->fd)) ? -errno : 0;
	} else if (handle->kind == HANDLE_DOCUMENT) {
		if (handle->draft && handle->writable &&
			standing_of(handle->draft, thread_of(req)).dirty)
			ret = document_judge(fs, handle->document, handle->draft, &verdict);
		loop_stand_aside();
		if (!ret)
			ret = ops_explain(fs, slice_str(""), memory_fsync(fs->memory, &reason),
				&reason);
	}
	ops_answer_stale(fs, req, handle->document, verdict.stale, -ret);
}

/* With fs->lock held: is this what the memory has at the document's path? */
static bool is_newest(struct fs *fs, struct document *document, uint64_t version)
{
	struct buf path = BUF_INIT;
	struct memory_stat st;
	bool newest = version && !document->dead && !document->committing &&
		      !document_path(fs, document, &path) &&
		      !memory_stat(fs->memory, buf_slice(&path), &st) && st.version == version;

	buf_release(&path);
	return newest;
}

/* The last writer of a node is done: the node becomes the version it committed, or an old one. */
static void retire_writer(struct fs *fs, struct handle *handle)
{
	struct node *node = handle->node;
	struct handle *other;

	pthread_mutex_lock(&fs->lock);
	for (other = handle->document->handles; other; other = other->next)
		if (other != handle && other->node == node && other->draft && other->writable)
			break;
	if (!other && node->state == NODE_WRITER) {
		struct document *document = handle->document;
		struct slice name = slice_of(document->name, document->name_len);
		bool current = node->handles == 1 && node->parent == document->parent &&
			       slice_equal(node_name(node), name) &&
			       !node_find(&fs->nodes, node->parent, name) &&
			       is_newest(fs, document, node->version);

		draft_unref(node->draft);
		node->draft = NULL;
		node->taken = false;
		node->state = current ? NODE_CURRENT : NODE_OLD;
		node->cold = true;
		if (current)
			node_hash(&fs->nodes, node);
	}
	pthread_mutex_unlock(&fs->lock);
}

/* Nothing was saved and nothing kept: the name that CREATE showed is gone again. */
static void withdraw_created(struct fs *fs, struct handle *handle)
{
	struct document *document = handle->document;
	struct handle *other;

	pthread_mutex_lock(&fs->lock);
	for (other = document->handles; other; other = other->next)
		if (other != handle && other->draft && other->writable)
			break;
	if (!other && !document->on_disk)
		document->created = false;
	pthread_mutex_unlock(&fs->lock);
}

static bool is_dirty(struct draft *draft)
{
	bool dirty;

	pthread_mutex_lock(&draft->lock);
	dirty = draft->dirty;
	pthread_mutex_unlock(&draft->lock);
	return dirty;
}

void ops_close(struct fs *fs, struct handle *handle)
{
	const struct notice_answer nothing = {.kind = NOTICE_NONE};
	struct verdict verdict = {.final = true, .node = handle->node};
	struct document *document = handle->document;

	if (document && handle->draft && handle->writable) {
		bool last = --handle->draft->handles == 0;
		bool kept;
		if (last && is_dirty(handle->draft))
			(void)document_judge(fs, document, handle->draft, &verdict);
		if (last && !is_dirty(handle->draft))
			(void)keep_empty(fs, document, &kept);
		else if (last && handle->draft->kept_empty)
			drop_empty(fs, document);
		if (verdict.stale)
			invalidate(fs, document, &nothing);
		withdraw_created(fs, handle);
		retire_writer(fs, handle);
	}
	handle_free(fs, handle);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct handle *handle = handle_of(fi);

	(void)ino;
	locks_drop_handle(fs->locks, handle->ino, fi->fh);
	ops_close(fs, handle);
	fuse_reply_err(req, 0);
}
