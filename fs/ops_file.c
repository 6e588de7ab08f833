/* SPDX-License-Identifier: MIT */
/* Reading and writing what is open. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "control.h"
#include "opening.h"

/* ---- read ---- */

static void reply_piece(fuse_req_t req, struct slice bytes, size_t size, off_t offset)
{
	size_t left = (size_t)offset < bytes.len ? bytes.len - (size_t)offset : 0;

	fuse_reply_buf(req, left ? bytes.ptr + offset : NULL, size < left ? size : left);
}

/*
 * A reader's bytes are those of its node's version: pinned ones where someone has committed since,
 * else the memory's, if they still are of that version. What takes more than one READ is pinned, so
 * that the memory does not print it once a piece.
 */
static int read_version(struct fs *fs, struct handle *handle, size_t size, off_t offset,
	struct version **out)
{
	struct node *node = handle->node;
	struct version *version = NULL;
	struct buf path = BUF_INIT;
	bool same;
	bool empty;
	int ret;

	pthread_mutex_lock(&fs->lock);
	empty = !node->version;
	node->told = false; /* the kernel asks for the time of access behind a READ */
	if (node->pinned)
		version = version_ref(node->pinned);
	pthread_mutex_unlock(&fs->lock);
	*out = version;
	if (version || empty)
		return 0;
	version = version_new();
	if (!version)
		return -ENOMEM;
	pthread_rwlock_rdlock(&fs->moves);
	pthread_mutex_lock(&fs->lock);
	ret = document_path(fs, handle->document, &path);
	pthread_mutex_unlock(&fs->lock);
	if (!ret)
		ret = memory_read(fs->memory, buf_slice(&path), &version->st, &version->bytes,
			NULL);
	pthread_rwlock_unlock(&fs->moves);
	buf_release(&path);
	pthread_mutex_lock(&fs->lock);
	same = !ret && version->st.version == node->version;
	if (!same && node->pinned) {
		version_unref(version);
		version = version_ref(node->pinned);
		same = true;
	} else if (same && !node->pinned && (offset || version->bytes.len > size)) {
		node->pinned = version_ref(version);
	}
	pthread_mutex_unlock(&fs->lock);
	if (!same) {
		version_unref(version);
		return ret && ret != -ENOENT ? ret : -ESTALE;
	}
	*out = version;
	return 0;
}

static void read_document(struct fs *fs, fuse_req_t req, struct handle *handle, size_t size,
	off_t offset)
{
	struct version *version = NULL;
	struct buf bytes = BUF_INIT;
	int ret;

	if (handle->draft) {
		opening_catch_up(fs, handle->node, handle->draft);
		ret = draft_read(handle->draft, size, offset, &bytes);
		if (ret)
			fuse_reply_err(req, -ret);
		else
			fuse_reply_buf(req, bytes.ptr, bytes.len);
		buf_release(&bytes);
		return;
	}
	ret = read_version(fs, handle, size, offset, &version);
	if (ret)
		fuse_reply_err(req, -ret);
	else
		reply_piece(req, version ? buf_slice(&version->bytes) : slice_str(""), size,
			offset);
	version_unref(version);
}

static void read_control(fuse_req_t req, struct handle *handle, size_t size, off_t offset)
{
	struct buf bytes = BUF_INIT;
	int ret = control_read_handle(fs_of(req), handle, size, offset, &bytes);

	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_buf(req, bytes.ptr, bytes.len);
	buf_release(&bytes);
}

static void read_scratch(fuse_req_t req, struct handle *handle, size_t size, off_t offset)
{
	struct fuse_bufvec source = FUSE_BUFVEC_INIT(size);

	source.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	source.buf[0].fd = handle->fd;
	source.buf[0].pos = offset;
	fuse_reply_data(req, &source, FUSE_BUF_SPLICE_MOVE);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);

	(void)ino;
	switch (handle->kind) {
	case HANDLE_DOCUMENT:
		read_document(fs_of(req), req, handle, size, offset);
		break;
	case HANDLE_SCRATCH:
		read_scratch(req, handle, size, offset);
		break;
	case HANDLE_CONTROL:
		read_control(req, handle, size, offset);
		break;
	case HANDLE_DIRECTORY:
		fuse_reply_err(req, EISDIR);
		break;
	}
}

/* ---- write ---- */

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct handle *handle = handle_of(fi);
	ssize_t ret = -EBADF;

	(void)ino;
	switch (handle->kind) {
	case HANDLE_CONTROL:
		control_write(fs, node_control(handle->node), req, slice_of(bytes, size));
		return;
	case HANDLE_DOCUMENT:
		if (handle->draft && handle->writable) {
			opening_catch_up(fs, handle->node, handle->draft);
			ret = draft_write(handle->draft, thread_of(req), bytes, size, offset,
				handle->append);
		}
		ret = ret ? ret : (ssize_t)size;
		break;
	case HANDLE_SCRATCH:
		ret = scratch_pwrite(&fs->trees[TREE_SCRATCH], handle->fd, bytes, size, offset,
			handle->append);
		break;
	case HANDLE_DIRECTORY:
		break;
	}
	if (ret < 0)
		fuse_reply_err(req, (int)-ret);
	else
		fuse_reply_write(req, (size_t)ret);
}

/* ---- the rest is for real files ---- */

void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
	struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct handle *handle = handle_of(fi);

	(void)ino;
	if (handle->kind != HANDLE_SCRATCH) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	fuse_reply_err(req,
		-scratch_fallocate(&fs->trees[TREE_SCRATCH], handle->fd, mode, offset, length));
}

/* Documents have no holes: all of it is data, then the end. */
static off_t seek_document(struct fs *fs, struct handle *handle, pid_t thread, off_t offset,
	int whence)
{
	struct stat st;
	double timeout;
	int ret = ops_stat(fs, handle->node, handle, thread, &st, &timeout);

	if (ret)
		return ret;
	if (offset < 0 || offset >= st.st_size)
		return -ENXIO;
	return whence == SEEK_HOLE ? st.st_size : offset;
}

void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);
	off_t at;

	(void)ino;
	if (handle->kind == HANDLE_SCRATCH) {
		at = lseek(handle->fd, offset, whence);
		at = at < 0 ? -errno : at;
	} else {
		at = seek_document(fs_of(req), handle, thread_of(req), offset, whence);
	}
	if (at < 0)
		fuse_reply_err(req, (int)-at);
	else
		fuse_reply_lseek(req, at);
}

void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
	struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
	struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct fs *fs = fs_of(req);
	struct handle *in = handle_of(fi_in);
	struct handle *out = handle_of(fi_out);
	enum { PIECE = 1 << 20 };
	char *bytes;
	ssize_t got;

	(void)ino_in;
	(void)ino_out;
	if (in->kind != HANDLE_SCRATCH || out->kind != HANDLE_SCRATCH || flags) {
		fuse_reply_err(req, EOPNOTSUPP); /* the kernel copies by reading and writing */
		return;
	}
	bytes = malloc(PIECE);
	got = bytes ? pread(in->fd, bytes, len < PIECE ? len : PIECE, off_in) : -1;
	if (got < 0)
		got = bytes ? -errno : -ENOMEM;
	if (got > 0)
		got = scratch_pwrite(&fs->trees[TREE_SCRATCH], out->fd, bytes, (size_t)got, off_out,
			false);
	free(bytes);
	if (got < 0)
		fuse_reply_err(req, (int)-got);
	else
		fuse_reply_write(req, (size_t)got);
}

/* ---- locks ---- */

/* Until it is granted others may save. */
static void note_locking(const struct handle *handle)
{
	if (handle->kind == HANDLE_DOCUMENT && handle->draft)
		atomic_store(&handle->draft->outdated, true);
}

void ops_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	(void)ino;
	if (!(op & LOCK_UN))
		note_locking(handle_of(fi));
	locks_flock(fs_of(req)->locks, req, handle_of(fi)->ino, fi->fh, op);
}

void ops_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
	(void)ino;
	locks_getlk(fs_of(req)->locks, req, handle_of(fi)->ino, fi->lock_owner, lock);
}

void ops_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
	int sleep)
{
	(void)ino;
	if (lock->l_type != F_UNLCK)
		note_locking(handle_of(fi));
	locks_setlk(fs_of(req)->locks, req, handle_of(fi)->ino, fi->lock_owner, fi->fh, lock,
		sleep);
}
