/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "atomic_file.h"
#include "ednfile_private.h"

struct ednfile_snapshot {
	struct ednpieces pieces;
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

struct hash128 ednfile_rewrite_hash(const struct ednfile_snapshot *snapshot)
{
	struct hash_stream stream;

	hash_stream_init(&stream);
	for (size_t i = 0; i < snapshot->pieces.count; i++)
		hash_stream_add(&stream, snapshot->pieces.iov[i].iov_base,
			snapshot->pieces.iov[i].iov_len);
	return hash_stream_end(&stream);
}

int ednfile_rewrite_write(struct ednfile *file, struct ednfile_snapshot *snapshot, bool insist,
	struct ednfile_replaced *replaced, struct err *err)
{
	struct atomic_file f;
	struct stat st;
	int ret = atomic_file_begin(&f, file->target, &file->identity.owner, err);

	replaced->fd = -1;
	if (ret)
		return ret;
	ret = atomic_file_write(&f, snapshot->pieces.iov, snapshot->pieces.count, err);
	if (!ret)
		ret = atomic_file_sync(&f, &st, err);
	if (!ret && ednfile_changed_outside(file))
		ret = insist ? atomic_file_look_again(&f, err)
			     : err_set(err, -EAGAIN, "someone else writes to it");
	if (!ret)
		ret = atomic_file_commit(&f, &st, err);
	if (!f.temporary[0]) { /* renamed, even if the directory could not be synced */
		pthread_mutex_lock(&file->lock);
		*replaced =
			(struct ednfile_replaced){f.old, file->identity.size, file->identity.mtime};
		file->identity = ednfile_identity_of(&st);
		pthread_mutex_unlock(&file->lock);
		f.old = -1;
	}
	atomic_file_end(&f);
	return ret;
}

void ednfile_rewrite_end(struct ednfile *file, struct ednfile_snapshot *snapshot)
{
	uint64_t bytes;

	if (!snapshot)
		return;
	bytes = snapshot->pieces.bytes;
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
