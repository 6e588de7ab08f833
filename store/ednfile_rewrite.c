/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "atomic_file.h"
#include "ednfile_private.h"

struct ednfile_snapshot {
	struct ednpieces pieces;
	const struct ednblock *image; /* most of it lies in there */
	struct atomic_file file;      /* from write to commit */
	struct stat st;
};

enum { SLACK_BYTES = 64 * 1024 };

/*
 * Texts that were replaced stay in the image until this puts down everything anew: when what is held
 * is more than one and a half times the file.
 */
static void compact(struct ednfile *file, uint64_t bytes)
{
	if (file->pool.owned_bytes > bytes + bytes / 2 + SLACK_BYTES)
		ednmap_rebuild(&file->map,
			false); /* without memory for it, the next one may have */
}

int ednfile_rewrite_begin(struct ednfile *file, struct ednfile_snapshot **out)
{
	struct ednfile_snapshot *snapshot = malloc(sizeof(*snapshot));
	int ret;

	if (!snapshot)
		return -ENOMEM;
	ret = ednpieces_of_map(&snapshot->pieces, &file->map);
	if (!ret && snapshot->pieces.bytes >= UINT32_MAX) {
		ednpieces_release(&snapshot->pieces);
		ret = -EOVERFLOW; /* what could not be read again */
	}
	if (ret) {
		free(snapshot);
		return ret;
	}
	snapshot->image = file->map.image;
	snapshot->file = ATOMIC_FILE_NONE;
	file->pool.held = true;
	*out = snapshot;
	return 0;
}

bool ednfile_put_away_begin(struct ednfile *file)
{
	file->put_away = ednblock_is_to_go(file->map.image) ? file->map.image : NULL;
	file->pool.held |= file->put_away != NULL;
	return file->put_away != NULL;
}

void ednfile_put_away(struct ednfile *file, int dir_fd)
{
	ednblock_put_away(file->put_away, dir_fd);
}

void ednfile_put_away_end(struct ednfile *file)
{
	file->put_away = NULL;
	ednpool_unhold(&file->pool);
}

bool ednfile_unmap_step(const struct ednfile *file, size_t *at)
{
	return ednblock_unmap_step(file->map.image, at);
}

/* ---- writing ---- */

enum { STEP_BYTES = 1 << 20, LARGE_BYTES = 64 << 10 };

struct writing {
	struct ednfile_snapshot *snapshot;
	char *buffer; /* of STEP_BYTES, or NULL: all is read where it is mapped */
	struct hash_stream stream;
};

static bool is_read_apart(const struct writing *w, const struct iovec *piece)
{
	return w->buffer && piece->iov_len >= LARGE_BYTES &&
	       ednblock_is_away(w->snapshot->image, slice_of(piece->iov_base, piece->iov_len));
}

static int write_away(struct writing *w, const struct iovec *piece, struct err *err)
{
	size_t len;
	int ret = 0;

	for (size_t at = 0; at < piece->iov_len && !ret; at += len) {
		const char *from = (const char *)piece->iov_base + at;
		struct iovec step = {.iov_base = w->buffer};
		ssize_t got;

		len = piece->iov_len - at;
		step.iov_len = len = len < STEP_BYTES ? len : STEP_BYTES;
		got = ednblock_read(w->snapshot->image, from, w->buffer, len);
		ret = got < 0 ? (int)got : (size_t)got < len ? -EIO : 0;
		ret = ret ? err_set(err, ret, "reading what is to be written: %s", strerror(-ret))
			  : atomic_file_write(&w->snapshot->file, &step, 1, &w->stream, err);
	}
	return ret;
}

static int write_pieces(struct writing *w, struct err *err)
{
	const struct ednpieces *pieces = &w->snapshot->pieces;
	struct atomic_file *f = &w->snapshot->file;
	size_t from = 0;
	int ret = 0;

	for (size_t i = 0; i < pieces->count && !ret; i++) {
		if (!is_read_apart(w, &pieces->iov[i]))
			continue;
		ret = atomic_file_write(f, pieces->iov + from, i - from, &w->stream, err);
		if (!ret)
			ret = write_away(w, &pieces->iov[i], err);
		from = i + 1;
	}
	return ret ? ret
		   : atomic_file_write(f, pieces->iov + from, pieces->count - from, &w->stream,
			     err);
}

int ednfile_rewrite_write(struct ednfile *file, struct ednfile_snapshot *snapshot,
	struct hash128 *hash, struct err *err)
{
	struct atomic_file *f = &snapshot->file;
	struct writing writing = {.snapshot = snapshot};
	int ret = atomic_file_begin(f, file->target, &file->identity.owner, err);

	hash_stream_init(&writing.stream);
	if (snapshot->image && snapshot->image->place == EDNBLOCK_AWAY)
		writing.buffer = malloc(STEP_BYTES);
	if (!ret)
		ret = write_pieces(&writing, err);
	if (!ret)
		ret = atomic_file_sync(f, &snapshot->st, err);
	if (ret)
		atomic_file_end(f);
	*hash = hash_stream_end(&writing.stream);
	free(writing.buffer);
	return ret;
}

int ednfile_rewrite_commit(struct ednfile *file, struct ednfile_snapshot *snapshot, bool insist,
	struct ednfile_replaced *replaced, struct err *err)
{
	struct atomic_file *f = &snapshot->file;
	struct stat *st = &snapshot->st;
	int ret = 0;

	replaced->fd = -1;
	if (ednfile_changed_outside(file))
		ret = insist ? atomic_file_look_again(f, err)
			     : err_set(err, -EAGAIN, "someone else writes to it");
	if (!ret)
		ret = atomic_file_commit(f, st, err);
	if (!f->temporary[0]) { /* renamed, even if the directory could not be synced */
		pthread_mutex_lock(&file->lock);
		*replaced = (struct ednfile_replaced){
			f->old, file->identity.size, file->identity.mtime};
		file->identity = ednfile_identity_of(st);
		pthread_mutex_unlock(&file->lock);
		f->old = -1;
	}
	atomic_file_end(f);
	return ret;
}

void ednfile_rewrite_end(struct ednfile *file, struct ednfile_snapshot *snapshot)
{
	uint64_t bytes;

	if (!snapshot)
		return;
	bytes = snapshot->pieces.bytes;
	atomic_file_end(&snapshot->file);
	ednpieces_release(&snapshot->pieces);
	free(snapshot);
	ednpool_unhold(&file->pool);
	compact(file, bytes);
}

int ednfile_text(const struct ednfile *file, struct buf *out)
{
	struct ednpieces pieces;
	int ret = ednpieces_of_map(&pieces, &file->map);

	for (size_t i = 0; !ret && i < pieces.count; i++)
		buf_add(out, pieces.iov[i].iov_base, pieces.iov[i].iov_len);
	if (!ret)
		ednpieces_release(&pieces);
	return ret ? ret : buf_error(out);
}
