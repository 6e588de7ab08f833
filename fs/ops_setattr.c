/* SPDX-License-Identifier: MIT */
/* truncate, chmod, chown, utimens. */
#include "setattr.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "control.h"
#include "opening.h"

static struct timespec now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time;
}

static void read_request(struct attribute_change *change)
{
	const struct stat *attr = change->attr;
	int to_set = change->to_set;

	change->attributes.has_mode = to_set & FUSE_SET_ATTR_MODE;
	change->attributes.mode = attr->st_mode & SCRATCH_MODE;
	change->attributes.has_mtime = to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW);
	change->attributes.mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? now() : attr->st_mtim;
}

/* The draft that this caller's changes belong to; referenced, or NULL. */
static struct draft *draft_of(const struct attribute_change *change)
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
static int truncate_committed(struct attribute_change *change, off_t size)
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

/* A file that is open for its first save has its attributes in its document. */
static bool set_created(const struct attribute_change *change)
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
static void tell_current(const struct attribute_change *change)
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

/* Is what has the path now still that file? */
static bool is_at(struct fs *fs, struct slice path, uint64_t ino)
{
	struct memory_stat st;

	return !memory_stat(fs->memory, path, &st) && st.ino == ino;
}

/*
 * A document that has left its name, by a rename of which the kernel may not have been told all: who comes by a name
 * means what has that now. Whoever has it open means it, but comes as the others do: also he is sent to look again
 * until the kernel knows.
 */
static bool has_left(const struct attribute_change *change)
{
	struct fs *fs = change->fs;
	struct buf path = BUF_INIT;
	uint64_t ino;
	bool left;

	pthread_mutex_lock(&fs->lock);
	ino = change->node->ino;
	left = change->node->state != NODE_CURRENT && change->node->version &&
	       (!change->node->handles || fs->renames || notifier_is_behind(fs->notifier));
	left = left && !node_path(change->node, slice_str(""), &path);
	pthread_mutex_unlock(&fs->lock);
	left = left && !is_at(fs, buf_slice(&path), ino);
	buf_release(&path);
	return left;
}

static int set_absent(struct attribute_change *change, struct slice path)
{
	if (has_left(change))
		return -ESTALE; /* just now */
	return set_created(change) ? 0 : setattr_empty(change, path);
}

static int set_committed(struct attribute_change *change)
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
		ret = set_absent(change, buf_slice(&path));
	buf_release(&path);
	if (!ret)
		tell_current(change);
	return ret;
}

/*
 * What a draft is told goes with its next commit. Where none may come, it is passed on at once: the draft is unchanged, or
 * as it stands it is not saved, and may be closed already: RELEASE comes behind close(2).
 */
static int set_draft(struct attribute_change *change, struct draft *draft)
{
	bool waits;

	pthread_mutex_lock(&draft->lock);
	waits = draft->dirty && !draft->judged && !draft->only_truncated;
	if (change->attributes.has_mode) {
		draft->attributes.has_mode = true;
		draft->attributes.mode = change->attributes.mode;
	}
	if (change->attributes.has_mtime) {
		draft->attributes.has_mtime = true;
		draft->attributes.mtime = change->attributes.mtime;
	}
	pthread_mutex_unlock(&draft->lock);
	return waits ? 0 : set_committed(change);
}

static int set_document(struct attribute_change *change)
{
	struct draft *draft;
	int ret = 0;

	if (has_left(change))
		return -ESTALE;
	draft = draft_of(change);
	if (draft)
		opening_catch_up(change->fs, change->node, draft);
	if ((change->to_set & FUSE_SET_ATTR_SIZE) && draft)
		ret = draft_truncate(draft, change->thread, change->attr->st_size);
	else if (change->to_set & FUSE_SET_ATTR_SIZE)
		ret = truncate_committed(change, change->attr->st_size);
	if (!ret && (change->attributes.has_mode || change->attributes.has_mtime))
		ret = draft ? set_draft(change, draft) : set_committed(change);
	draft_unref(draft);
	return ret;
}

/* Of a file that was saved as a document while it was open: that is the same file to whoever has it open. */
static int set_saved(struct attribute_change *change, struct slice path)
{
	uint64_t ino;

	pthread_mutex_lock(&change->fs->lock);
	ino = change->node->ino;
	pthread_mutex_unlock(&change->fs->lock);
	/* where it is gone, this one stays */
	return is_at(change->fs, path, ino) ? set_committed(change) : 0;
}

static int set_scratch(struct attribute_change *change)
{
	struct buf path = BUF_INIT;
	struct scratch *tree;
	struct slice rel;
	bool saved;
	int ret = fs_path(change->fs, change->node, NULL, &path);

	saved = !ret && setattr_own_fd(change) < 0 &&
		!view_is_scratch(change->fs, buf_slice(&path), &tree, &rel);
	if (saved && (change->to_set & FUSE_SET_ATTR_SIZE))
		ret = -ESTALE; /* by its name: what has that now? */
	if (!ret)
		ret = setattr_real(change, buf_slice(&path));
	if (!ret && saved && (change->attributes.has_mode || change->attributes.has_mtime))
		ret = set_saved(change, buf_slice(&path));
	buf_release(&path);
	return ret == -ENOENT ? -ESTALE : ret;
}

static int set_directory(struct attribute_change *change)
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
				     : setattr_real(change, buf_slice(&path));
	buf_release(&path);
	return ret;
}

/* Everything belongs to the mounting user and stays so; saying it again is fine (cp -p, tar as root). */
static bool changes_owner(const struct attribute_change *change)
{
	const struct options *options = change->fs->options;

	return ((change->to_set & FUSE_SET_ATTR_UID) && change->attr->st_uid != options->uid) ||
	       ((change->to_set & FUSE_SET_ATTR_GID) && change->attr->st_gid != options->gid);
}

static int apply(struct attribute_change *change)
{
	int ret;

	switch (node_kind(change->node)) {
	case NODE_DOCUMENT:
		return set_document(change);
	case NODE_SCRATCH:
		return set_scratch(change);
	case NODE_DIRECTORY:
		pthread_mutex_lock(&change->fs->settling);
		ret = set_directory(change);
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
	return change->to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_MTIME) ? -EPERM : 0;
}

/* The node's version is superseded: its attributes are asked for by name. */
static void answer_stale(struct attribute_change *change, struct notice_answer *answer)
{
	struct fs *fs = change->fs;
	struct fuse_entry_param entry;
	struct buf name = BUF_INIT;
	struct node *directory;
	int ret;

	pthread_mutex_lock(&fs->lock);
	directory = change->stale->parent;
	node_ref(directory);
	buf_add(&name, change->stale->name, change->stale->name_len);
	pthread_mutex_unlock(&fs->lock);
	ret = ops_enter(fs, directory, buf_slice(&name), 0, &entry);
	pthread_mutex_lock(&fs->lock);
	if (!ret)
		node_forget(&fs->nodes, node_of(fs, entry.ino), 1);
	else
		node_unref(&fs->nodes, directory);
	document_unref(fs, change->stale);
	pthread_mutex_unlock(&fs->lock);
	if (ret) {
		fuse_reply_err(answer->req, -ret);
	} else {
		answer->st = entry.attr;
		fs_tell_stale(fs, directory, buf_slice(&name), answer);
	}
	buf_release(&name);
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
	struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct attribute_change change = {
		.fs = fs,
		.node = node_of(fs, ino),
		.handle = handle_of(fi),
		.thread = thread_of(req),
		.attr = attr,
		.to_set = to_set,
	};
	struct notice_answer answer = {.kind = NOTICE_ATTRIBUTES, .req = req};
	int ret;

	read_request(&change);
	ret = changes_owner(&change) ? -EPERM : apply(&change);
	if (!ret && change.stale) {
		answer_stale(&change, &answer);
		return;
	}
	if (!ret)
		ret = ops_stat(fs, change.node, change.handle, change.thread, &answer.st,
			&answer.timeout);
	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_attr(req, &answer.st, answer.timeout);
	pthread_mutex_lock(&fs->lock);
	document_unref(fs, change.stale);
	pthread_mutex_unlock(&fs->lock);
}
