/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "listing.h"
#include "lock_order.h"
#include "state.h"

struct handle *handle_new(enum handle_kind kind, int flags)
{
	struct handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->kind = kind;
	handle->fd = -1;
	handle->readable = (flags & O_ACCMODE) != O_WRONLY;
	handle->writable = (flags & O_ACCMODE) != O_RDONLY;
	handle->append = flags & O_APPEND;
	mutex_init(&handle->lock, LOCK_LISTING);
	return handle;
}

static void list(struct fs *fs, struct handle *handle)
{
	handle->next_open = fs->open_handles;
	if (fs->open_handles)
		fs->open_handles->prev_open = handle;
	fs->open_handles = handle;
}

static void unlist(struct fs *fs, struct handle *handle)
{
	if (handle->prev_open)
		handle->prev_open->next_open = handle->next_open;
	else
		fs->open_handles = handle->next_open;
	if (handle->next_open)
		handle->next_open->prev_open = handle->prev_open;
}

void handle_attach(struct fs *fs, struct handle *handle, struct node *node,
	struct document *document)
{
	node_hold(node);
	handle->node = node;
	handle->ino = node->ino;
	list(fs, handle);
	if (!document)
		return;
	document->refs++;
	handle->document = document;
	node->document = document;
	handle->next = document->handles;
	document->handles = handle;
}

int handle_attach_scratch(struct fs *fs, struct handle *handle, struct node *node)
{
	bool is_scratch;

	pthread_mutex_lock(&fs->lock);
	is_scratch = node_kind(node) == NODE_SCRATCH;
	if (is_scratch)
		handle_attach(fs, handle, node, NULL);
	pthread_mutex_unlock(&fs->lock);
	return is_scratch ? 0 : -ESTALE;
}

static void detach_from_document(struct fs *fs, struct handle *handle)
{
	struct handle **at = &handle->document->handles;
	const struct handle *other;

	while (*at != handle)
		at = &(*at)->next;
	*at = handle->next;
	for (other = handle->document->handles; other && other->node != handle->node;)
		other = other->next;
	if (!other)
		handle->node->document = NULL;
	document_unref(fs, handle->document);
}

void handle_free(struct fs *fs, struct handle *handle)
{
	pthread_mutex_lock(&fs->lock);
	if (handle->node) {
		if (handle->fd >= 0 && handle->node->counted && handle->node->handles == 1)
			scratch_forget(&fs->trees[TREE_SCRATCH], handle->fd);
		unlist(fs, handle);
		if (handle->document)
			detach_from_document(fs, handle);
		node_release(&fs->nodes, handle->node);
	}
	pthread_mutex_unlock(&fs->lock);
	draft_unref(handle->draft);
	if (handle->fd >= 0)
		close(handle->fd);
	listing_free(handle->listing);
	version_unref(handle->snapshot);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}

/* With fs->lock held. */
static bool is_removed(const struct node *node)
{
	const struct document *document = node_document(node);

	return node->removed || (document && document->dead && !document->left_to);
}

void node_look(struct fs *fs, const struct node *node, struct node_look *look)
{
	pthread_mutex_lock(&fs->lock);
	*look = (struct node_look){
		.state = node->state,
		.taken = node->taken,
		.removed = is_removed(node),
		.version = node->version,
		.ino = node->ino,
		.draft = node->draft ? draft_ref(node->draft) : NULL,
	};
	pthread_mutex_unlock(&fs->lock);
}

bool fs_outlives(struct fs *fs, const struct node *parent, const char *name)
{
	struct node *node;
	bool open;

	pthread_mutex_lock(&fs->lock);
	node = node_find(&fs->nodes, parent, slice_str(name));
	open = node && node_kind(node) == NODE_SCRATCH && node->handles;
	if (open)
		node->counted = true;
	pthread_mutex_unlock(&fs->lock);
	return open;
}

int fs_dup_open(struct fs *fs, const struct node *node)
{
	struct handle *handle;
	int fd = -ENOENT;

	pthread_mutex_lock(&fs->lock);
	for (handle = fs->open_handles; handle; handle = handle->next_open) {
		if (handle->node != node || handle->fd < 0)
			continue;
		fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
		fd = fd < 0 ? -errno : fd;
		break;
	}
	pthread_mutex_unlock(&fs->lock);
	return fd;
}

int fs_reopen(struct fs *fs, const struct node *node, int flags)
{
	char name[32];
	int open_fd = fs_dup_open(fs, node);
	int fd;

	if (open_fd < 0)
		return open_fd;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", open_fd);
	fd = open(name, flags | O_CLOEXEC);
	fd = fd < 0 ? -errno : fd;
	close(open_fd);
	return fd;
}

int fs_path(struct fs *fs, const struct node *node, const char *child, struct buf *path)
{
	int ret;

	pthread_mutex_lock(&fs->lock);
	ret = node_path(node, slice_str(child ? child : ""), path);
	pthread_mutex_unlock(&fs->lock);
	return ret;
}
