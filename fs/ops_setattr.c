/* SPDX-License-Identifier: MIT */
/* truncate, chmod, chown, utimens. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "control.h"

struct change {
	struct fs *fs;
	struct node *node;
	struct handle *handle; /* the one it came by, or NULL */
	pid_t thread;
	struct memory_attributes attributes;
	struct document *stale; /* the name's cache entry is out of date; referenced */
};

static struct timespec now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time;
}

static void read_request(struct change *change, const struct stat *attr, int to_set)
{
	change->attributes.has_mode = to_set & FUSE_SET_ATTR_MODE;
	change->attributes.mode = attr->st_mode & SCRATCH_MODE;
	change->attributes.has_mtime = to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW);
	change->attributes.mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? now() : attr->st_mtim;
}

/* The draft that this caller's changes belong to; referenced, or NULL. */
static struct draft *draft_of(const struct change *change)
{
	struct node_look look;

	node_look(change->fs, change->node, &look);
	if (look.draft && look.taken && !(change->handle && change->handle->draft == look.draft) &&
		!same_process(change->thread, look.draft->opener)) {
		draft_unref(look.draft);
		return NULL;
	}
	return look.draft;
}

static struct document *hold_document(struct fs *fs, struct node *node)
{
	struct document *document;

	pthread_mutex_lock(&fs->lock);
	document = document_get(fs, node->parent, node_name(node));
	pthread_mutex_unlock(&fs->lock);
	return document;
}

/* truncate(2) by name is a save of its own: read, cut, commit. */
static int truncate_committed(struct change *change, off_t size)
{
	struct fs *fs = change->fs;
	struct document *document = hold_document(fs, change->node);
	struct draft *draft = draft_new(change->thread, &fs->draft_room);
	struct verdict verdict = {.final = true};
	struct buf path = BUF_INIT;
	struct buf bytes = BUF_INIT;
	struct node_look look;
	struct memory_stat st;
	int ret = document && draft ? fs_path(fs, change->node, NULL, &path) : -ENOMEM;

	if (!ret)
		ret = memory_read(fs->memory, buf_slice(&path), &st, &bytes, NULL);
	node_look(fs, change->node, &look);
	draft_unref(look.draft);
	if (ret == -ENOENT && !look.version)
		ret = size ? -EBADMSG : 0; /* an empty file stays one */
	if (!ret && (off_t)bytes.len == size) {
		/* Nothing to save, but it counts as a write. */
		change->attributes.has_mtime = true;
		change->attributes.mtime = now();
	} else if (!ret) {
		draft->mode = st.mode;
		pthread_mutex_lock(&draft->lock);
		ret = draft_fill(draft, &bytes);
		pthread_mutex_unlock(&draft->lock);
		if (!ret)
			ret = draft_truncate(draft, change->thread, size);
		if (!ret)
			ret = document_judge(fs, document, draft, &verdict);
	}
	if (verdict.stale) {
		change->stale = document;
		document = NULL;
	}
	draft_unref(draft);
	buf_release(&bytes);
	buf_release(&path);
	pthread_mutex_lock(&fs->lock);
	document_unref(fs, document);
	pthread_mutex_unlock(&fs->lock);
	return ret;
}

/* An empty file keeps its attributes in scratch until it is a document. */
static int set_empty(struct fs *fs, struct slice path, const struct memory_attributes *attributes)
{
	int fd = scratch_openfile(&fs->trees[TREE_SCRATCH], path, O_RDONLY, 0);
	struct timespec times[2] = {attributes->mtime, attributes->mtime};
	int ret = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (attributes->has_mode && fchmod(fd, attributes->mode))
		ret = -errno;
	if (!ret && attributes->has_mtime && futimens(fd, times))
		ret = -errno;
	close(fd);
	scratch_changed(&fs->trees[TREE_SCRATCH]);
	return ret;
}

/* A file that is open for its first save has its attributes in its document. */
static bool set_created(const struct change *change)
{
	struct fs *fs = change->fs;
	struct document *document;
	bool created;

	pthread_mutex_lock(&fs->lock);
	document = document_find(fs, change->node->parent, node_name(change->node));
	created = document && document->created;
	if (created && change->attributes.has_mode)
		document->mode = change->attributes.mode;
	if (created && change->attributes.has_mtime)
		document->made = change->attributes.mtime;
	created = created && !document->on_disk;
	pthread_mutex_unlock(&fs->lock);
	return created;
}

/* The name may have another node than the one it came by, whose attributes the kernel keeps. */
static void tell_current(const struct change *change)
{
	struct fs *fs = change->fs;
	struct node *current;
	fuse_ino_t ino = 0;

	pthread_mutex_lock(&fs->lock);
	current = node_find(&fs->nodes, change->node->parent, node_name(change->node));
	if (current && current != change->node) {
		ino = ino_of(fs, current);
		current->told = false;
	}
	pthread_mutex_unlock(&fs->lock);
	if (ino)
		(void)fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
}

static int set_committed(struct change *change)
{
	struct buf path = BUF_INIT;
	const struct document *document;
	bool dead;
	int ret;

	pthread_mutex_lock(&change->fs->lock);
	document = node_document(change->node);
	dead = document && document->dead;
	ret = node_path(change->node, slice_str(""), &path);
	pthread_mutex_unlock(&change->fs->lock);
	if (dead) {
		buf_release(&path);
		return 0; /* unlinked: nobody else can see it */
	}
	if (!ret)
		ret = memory_set_attributes(change->fs->memory, buf_slice(&path),
			&change->attributes);
	if (ret == -ENOENT && node_kind(change->node) == NODE_DOCUMENT)
		ret = set_created(change)
			      ? 0
			      : set_empty(change->fs, buf_slice(&path), &change->attributes);
	buf_release(&path);
	if (!ret)
		tell_current(change);
	return ret;
}

/* What a draft was told goes with its next commit; an unchanged one passes it on at once. */
static int set_draft(struct change *change, struct draft *draft)
{
	bool dirty;

	pthread_mutex_lock(&draft->lock);
	dirty = draft->dirty;
	if (change->attributes.has_mode) {
		draft->attributes.has_mode = true;
		draft->attributes.mode = change->attributes.mode;
	}
	if (change->attributes.has_mtime) {
		draft->attributes.has_mtime = true;
		draft->attributes.mtime = change->attributes.mtime;
	}
	pthread_mutex_unlock(&draft->lock);
	return dirty ? 0 : set_committed(change);
}

/*
 * A document that has left its name, by a rename of which the kernel has not been told all: who comes by a name means
 * what has that now. Whoever has it open means it.
 */
static bool has_left(const struct change *change)
{
	struct fs *fs = change->fs;
	struct buf path = BUF_INIT;
	struct memory_stat st;
	uint64_t ino;
	bool left;

	pthread_mutex_lock(&fs->lock);
	ino = change->node->ino;
	left = change->node->state == NODE_OLD && change->node->version && !change->node->handles;
	left = left && !node_path(change->node, slice_str(""), &path);
	pthread_mutex_unlock(&fs->lock);
	left = left && (memory_stat(fs->memory, buf_slice(&path), &st) || st.ino != ino);
	buf_release(&path);
	return left;
}

static int set_document(struct change *change, const struct stat *attr, int to_set)
{
	struct draft *draft = draft_of(change);
	int ret = !draft && has_left(change) ? -ESTALE : 0;

	if (ret)
		return ret;
	if ((to_set & FUSE_SET_ATTR_SIZE) && draft)
		ret = draft_truncate(draft, change->thread, attr->st_size);
	else if (to_set & FUSE_SET_ATTR_SIZE)
		ret = truncate_committed(change, attr->st_size);
	if (!ret && (change->attributes.has_mode || change->attributes.has_mtime))
		ret = draft ? set_draft(change, draft) : set_committed(change);
	draft_unref(draft);
	return ret;
}

/* Of the handle it came by, if it has one. */
static int own_fd(const struct change *change)
{
	return change->handle ? change->handle->fd : -1;
}

static int open_real(const struct change *change, struct scratch *tree, struct slice rel,
	int to_set)
{
	struct node_look look;
	int fd = own_fd(change);

	if (fd >= 0) {
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	node_look(change->fs, change->node, &look);
	draft_unref(look.draft);
	if (look.state != NODE_OLD)
		fd = scratch_openfile(tree, rel, to_set & FUSE_SET_ATTR_SIZE ? O_RDWR : O_PATH, 0);
	if (look.state != NODE_OLD && fd != -ENOENT)
		return fd;
	return fs_dup_open(change->fs, change->node); /* it has left its name, and is open */
}

/* By its name in /proc: a file that its owner may not open can still be given back its modes. */
static int set_by_name(const struct change *change, const char *name, const struct stat *attr,
	int to_set)
{
	struct timespec times[2] = {change->attributes.mtime, change->attributes.mtime};

	if (change->attributes.has_mode && chmod(name, change->attributes.mode))
		return -errno;
	if (to_set & FUSE_SET_ATTR_ATIME)
		times[0] = attr->st_atim;
	if (!(to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)))
		times[0].tv_nsec = UTIME_OMIT;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	if (!change->attributes.has_mtime)
		times[1].tv_nsec = UTIME_OMIT;
	return utimensat(AT_FDCWD, name, times, 0) ? -errno : 0;
}

static int set_real(struct change *change, struct slice path, const struct stat *attr, int to_set)
{
	struct scratch *tree;
	struct slice rel;
	char name[32];
	int ret = 0;
	int fd;

	if (view_is_read_only(path))
		return -EROFS;
	(void)view_is_scratch(change->fs, path, &tree, &rel);
	fd = open_real(change, tree, rel, to_set);
	if (fd < 0)
		return fd;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (to_set & FUSE_SET_ATTR_SIZE)
		ret = scratch_ftruncate(tree, fd, attr->st_size);
	if (!ret)
		ret = set_by_name(change, name, attr, to_set);
	close(fd);
	scratch_changed(tree);
	return ret;
}

/* Of a file that was saved as a document while it was open: that is the same file to whoever has it open. */
static int set_saved(struct change *change, struct slice path)
{
	struct memory_stat st;
	uint64_t ino;

	pthread_mutex_lock(&change->fs->lock);
	ino = change->node->ino;
	pthread_mutex_unlock(&change->fs->lock);
	if (memory_stat(change->fs->memory, path, &st) || st.ino != ino)
		return 0; /* it is gone, and this one stays */
	return set_committed(change);
}

static int set_scratch(struct change *change, const struct stat *attr, int to_set)
{
	struct buf path = BUF_INIT;
	struct scratch *tree;
	struct slice rel;
	bool saved;
	int ret = fs_path(change->fs, change->node, NULL, &path);

	saved = !ret && own_fd(change) < 0 &&
		!view_is_scratch(change->fs, buf_slice(&path), &tree, &rel);
	if (saved && (to_set & FUSE_SET_ATTR_SIZE))
		ret = -ESTALE; /* by its name: what has that now? */
	if (!ret)
		ret = set_real(change, buf_slice(&path), attr, to_set);
	if (!ret && saved && (change->attributes.has_mode || change->attributes.has_mtime))
		ret = set_saved(change, buf_slice(&path));
	buf_release(&path);
	return ret == -ENOENT ? -ESTALE : ret;
}

static int set_directory(struct change *change, const struct stat *attr, int to_set)
{
	struct buf path = BUF_INIT;
	struct view view;
	struct node_look look;
	int ret = fs_path(change->fs, change->node, NULL, &path);

	node_look(change->fs, change->node, &look);
	if (look.removed) {
		buf_release(&path);
		return 0; /* nobody else can see it */
	}
	if (!ret)
		ret = view_find(change->fs, buf_slice(&path), &view);
	if (!ret)
		ret = view.in_memory ? set_committed(change)
				     : set_real(change, buf_slice(&path), attr, to_set);
	buf_release(&path);
	return ret;
}

/* Everything belongs to the mounting user and stays so; saying it again is fine (cp -p, tar as root). */
static bool changes_owner(const struct fs *fs, const struct stat *attr, int to_set)
{
	return ((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != fs->options->uid) ||
	       ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != fs->options->gid);
}

static int apply(struct change *change, const struct stat *attr, int to_set)
{
	int ret;

	switch (node_kind(change->node)) {
	case NODE_DOCUMENT:
		return set_document(change, attr, to_set);
	case NODE_SCRATCH:
		return set_scratch(change, attr, to_set);
	case NODE_DIRECTORY:
		pthread_mutex_lock(&change->fs->settling);
		ret = set_directory(change, attr, to_set);
		pthread_mutex_unlock(&change->fs->settling);
		return ret;
	case NODE_STORE:
		return -EROFS;
	case NODE_CONTROL:
		break;
	}
	/* `echo x > .mode` truncates first; touch and chmod are not for control files. */
	if (!control_is_writable(node_control(change->node)))
		return -EACCES;
	return to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_MTIME) ? -EPERM : 0;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
	struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct change change = {
		.fs = fs,
		.node = node_of(fs, ino),
		.handle = handle_of(fi),
		.thread = thread_of(req),
	};
	struct notice_answer answer = {.kind = NOTICE_ATTRIBUTES, .req = req};
	struct buf name = BUF_INIT;
	struct node *directory = NULL;
	int ret;

	read_request(&change, attr, to_set);
	ret = changes_owner(fs, attr, to_set) ? -EPERM : apply(&change, attr, to_set);
	if (!ret && change.stale) {
		/* The node's version is superseded: its attributes are asked for by name. */
		struct fuse_entry_param entry;

		pthread_mutex_lock(&fs->lock);
		directory = change.stale->parent;
		node_ref(directory);
		buf_add(&name, change.stale->name, change.stale->name_len);
		pthread_mutex_unlock(&fs->lock);
		ret = ops_enter(fs, directory, buf_slice(&name), 0, &entry);
		answer.st = entry.attr;
		pthread_mutex_lock(&fs->lock);
		if (!ret)
			node_forget(&fs->nodes, node_of(fs, entry.ino), 1);
		else
			node_unref(&fs->nodes, directory);
		pthread_mutex_unlock(&fs->lock);
	} else if (!ret) {
		ret = ops_stat(fs, change.node, change.handle, change.thread, &answer.st,
			&answer.timeout);
	}
	if (ret)
		fuse_reply_err(req, -ret);
	else if (change.stale)
		fs_tell_stale(fs, directory, buf_slice(&name), &answer);
	else
		fuse_reply_attr(req, &answer.st, answer.timeout);
	buf_release(&name);
	pthread_mutex_lock(&fs->lock);
	document_unref(fs, change.stale);
	pthread_mutex_unlock(&fs->lock);
}
