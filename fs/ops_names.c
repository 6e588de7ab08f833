/* SPDX-License-Identifier: MIT */
/* Names: lookup and forget. */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "control.h"
#include "path.h"
#include "stores.h"

int ops_explain(struct fs *fs, struct slice path, int ret, const struct err *reason)
{
	char text[ERR_DESCRIBED];

	if (ret && reason->text[0])
		refusals_log(fs->refusals, path, err_describe(reason, text, sizeof(text)));
	return ret;
}

/* ---- lookup ---- */

static void set_timeouts(const struct view *view, struct slice path, struct fuse_entry_param *entry)
{
	if (stores_have(path)) {
		entry->entry_timeout = stores_entry_timeout_s(path, view);
		return;
	}
	switch (view->kind) {
	case VIEW_DOCUMENT:
		entry->entry_timeout = entry->attr_timeout = VIEW_LONG_S;
		break;
	case VIEW_DIRECTORY:
		entry->entry_timeout = VIEW_LONG_S;
		entry->attr_timeout = OPS_TIMEOUT_DIRECTORY_S;
		break;
	case VIEW_SCRATCH:
		if (!view_is_read_only(path))
			entry->entry_timeout = entry->attr_timeout = VIEW_LONG_S;
		break;
	case VIEW_DRAFT:
	case VIEW_CONTROL:
	case VIEW_STORE:
		break;
	}
}

static enum node_kind node_kind_of(const struct view *view)
{
	switch (view->kind) {
	case VIEW_DIRECTORY:
		return NODE_DIRECTORY;
	case VIEW_SCRATCH:
		return NODE_SCRATCH;
	case VIEW_CONTROL:
		return NODE_CONTROL;
	case VIEW_STORE:
		return NODE_STORE;
	case VIEW_DOCUMENT:
	case VIEW_DRAFT:
		break;
	}
	return NODE_DOCUMENT;
}

/* With fs->lock held: the node that everyone gets for what view found. One reference for the caller. */
static struct node *current_node(struct fs *fs, struct node *parent, struct slice name,
	const struct view *view)
{
	struct node *node = node_find(&fs->nodes, parent, name);

	if (node && node_kind(node) == node_kind_of(view) && node->version == view->version &&
		!(node_kind(node) == NODE_CONTROL && node->handles)) {
		node_ref(node);
		return node;
	}
	if (node) {
		node->state = NODE_OLD;
		node_unhash(&fs->nodes, node);
	}
	node = node_new_hashed(&fs->nodes, parent, name, node_kind_of(view));
	if (!node)
		return NULL;
	node->version = view->version;
	node->hidden = view->hidden;
	node->ino = view->st.st_ino;
	node_set_kind(node, node_kind_of(view), view->control);
	return node;
}

/* With fs->lock held: the node of a writer who was sent back to look the name up; one reference. */
static struct node *own_node(struct fs *fs, struct node *parent, struct slice name,
	const struct expectation *expectation, const struct view *view)
{
	struct node *node = expectation->own;

	/* One that was given before goes where its document was renamed to: it is not the name's any more. */
	if (node && node->parent == parent && slice_equal(node_name(node), name)) {
		node_ref(node);
		return node;
	}
	node = node_new(&fs->nodes, parent, name, NODE_DOCUMENT);
	if (!node)
		return NULL;
	node->state = NODE_WRITER;
	node->version = view->version;
	node->ino = view->st.st_ino;
	return node;
}

/* With fs->lock held. */
static int enter_found(struct fs *fs, struct node *parent, struct slice name, pid_t thread,
	struct slice path, int found, struct view *view, struct fuse_entry_param *entry)
{
	struct document *document = document_find(fs, parent, name);
	struct expectation *expectation =
		thread ? expectation_of_name(fs, thread, parent, name) : NULL;
	struct node *node;

	if (found == -ENOENT && document && document_is_seen(document)) {
		view->kind = VIEW_DRAFT;
		view_empty_stat(fs, document->ino, document->mode, document->made, &view->st);
	} else if (found) {
		if (expectation)
			expectation_drop(fs, expectation);
		return found;
	}
	set_timeouts(view, path, entry);
	if (expectation && expectation->write && node_kind_of(view) == NODE_DOCUMENT) {
		node = own_node(fs, parent, name, expectation, view);
		entry->entry_timeout = entry->attr_timeout = 0;
	} else {
		node = current_node(fs, parent, name, view);
	}
	if (!node)
		return -ENOMEM;
	if (expectation)
		expectation_give(fs, expectation, node);
	node_look_up(node);
	node->told = view->kind == VIEW_DOCUMENT && entry->entry_timeout > 0;
	entry->ino = ino_of(fs, node);
	entry->attr = view->st;
	if (view->kind == VIEW_DRAFT && node->ino)
		entry->attr.st_ino = node->ino;
	node_unref(&fs->nodes, node);
	return 0;
}

/* With no lock held, as what it shows takes some. */
static int enter_control(struct fs *fs, struct fuse_entry_param *entry)
{
	struct node *node = node_of(fs, entry->ino);
	int ret = control_enter(fs, node, &entry->attr);

	if (!ret)
		return 0;
	pthread_mutex_lock(&fs->lock);
	node_forget(&fs->nodes, node, 1);
	pthread_mutex_unlock(&fs->lock);
	return ret;
}

/* Under fs->moves. */
static int enter(struct fs *fs, struct node *parent, struct slice name, pid_t thread,
	struct fuse_entry_param *entry, bool *control)
{
	struct buf path = BUF_INIT;
	struct view view;
	bool again;
	int ret;

	*control = false;
	if (name.len > PATH_NAME_MAX)
		return -ENAMETOOLONG;
	pthread_mutex_lock(&fs->lock);
	do {
		/* What was found is true only if no commit came between; its node would be a lie. */
		uint32_t changes = document_settled(fs, parent, name);
		int found;

		buf_reset(&path);
		ret = node_path(parent, name, &path);
		pthread_mutex_unlock(&fs->lock);
		found = ret ? ret : view_find(fs, buf_slice(&path), &view);
		*entry = (struct fuse_entry_param){0};
		pthread_mutex_lock(&fs->lock);
		again = document_settled(fs, parent, name) != changes;
		if (!again)
			ret = enter_found(fs, parent, name, thread, buf_slice(&path), found, &view,
				entry);
	} while (again);
	pthread_mutex_unlock(&fs->lock);
	buf_release(&path);
	*control = !ret && view.kind == VIEW_CONTROL;
	return ret;
}

int ops_enter_alone(struct fs *fs, struct node *parent, struct slice name,
	struct fuse_entry_param *entry)
{
	bool control;

	return enter(fs, parent, name, 0, entry, &control);
}

int ops_enter(struct fs *fs, struct node *parent, struct slice name, pid_t thread,
	struct fuse_entry_param *entry)
{
	bool control;
	int ret;

	pthread_rwlock_rdlock(&fs->moves);
	ret = enter(fs, parent, name, thread, entry, &control);
	pthread_rwlock_unlock(&fs->moves);
	return control ? enter_control(fs, entry) : ret;
}

/* ---- many names ---- */

/* The documents among them, as far as their spelling tells. */
struct looked {
	struct fs *fs;
	struct node *parent;
	struct buf path; /* the directory's; then each one's */
	size_t directory_len;
	struct memory_named found[OPS_NAMES_MAX];
	struct ops_named *named[OPS_NAMES_MAX];
	uint32_t changes[OPS_NAMES_MAX];
	size_t count;
};

static int path_of(struct looked *looked, struct slice name)
{
	looked->path.len = looked->directory_len;
	if (looked->directory_len)
		buf_add_char(&looked->path, '/');
	buf_add_slice(&looked->path, name);
	return buf_error(&looked->path);
}

/* With fs->lock held. -EAGAIN: it is not among them, or what was found of it is true no more. */
static void choose(struct looked *looked, struct ops_named *named)
{
	struct fs *fs = looked->fs;
	uint32_t changes = document_settled(fs, looked->parent, named->name);
	const struct node *node = node_find(&fs->nodes, looked->parent, named->name);
	size_t at = looked->count;
	struct scratch *tree;
	struct slice rel;

	named->ret = node && node->told && node->lookups ? -EALREADY : -EAGAIN;
	if (named->ret == -EALREADY || path_of(looked, named->name) ||
		view_is_scratch(fs, buf_slice(&looked->path), &tree, &rel))
		return;
	looked->found[at].name = named->name;
	looked->named[at] = named;
	looked->changes[at] = changes;
	looked->count++;
}

/* With fs->lock held. */
static void enter_looked(struct looked *looked, size_t at)
{
	struct fs *fs = looked->fs;
	struct ops_named *named = looked->named[at];
	const struct memory_named *found = &looked->found[at];
	struct view view;

	if (document_settled(fs, looked->parent, named->name) != looked->changes[at] ||
		found->ret || found->st.kind != MEMORY_DOCUMENT || path_of(looked, named->name))
		return;
	view_document(fs, &found->st, &view);
	named->entry = (struct fuse_entry_param){0};
	named->ret = enter_found(fs, looked->parent, named->name, 0, buf_slice(&looked->path), 0,
		&view, &named->entry);
}

void ops_enter_names(struct fs *fs, struct node *parent, struct ops_named *named, size_t count)
{
	struct looked looked = {.fs = fs, .parent = parent, .path = BUF_INIT};
	size_t i;

	pthread_rwlock_rdlock(&fs->moves);
	pthread_mutex_lock(&fs->lock);
	(void)node_path(parent, slice_str(""), &looked.path);
	looked.directory_len = looked.path.len;
	for (i = 0; i < count; i++)
		choose(&looked, &named[i]);
	pthread_mutex_unlock(&fs->lock);
	looked.path.len = looked.directory_len;
	memory_stat_names(fs->memory, buf_slice(&looked.path), looked.found, looked.count);
	pthread_mutex_lock(&fs->lock);
	for (i = 0; i < looked.count; i++)
		enter_looked(&looked, i);
	pthread_mutex_unlock(&fs->lock);
	pthread_rwlock_unlock(&fs->moves);
	buf_release(&looked.path);
	for (i = 0; i < count; i++)
		if (named[i].ret == -EAGAIN)
			named[i].ret = ops_enter(fs, parent, named[i].name, 0, &named[i].entry);
}

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	int ret = ops_enter(fs, node_of(fs, parent), slice_str(name), thread_of(req), &entry);

	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_entry(req, &entry);
}

/* The memory need not know the names in directories that the kernel has forgotten. */
static void forget_directories(struct fs *fs)
{
	struct buf paths;

	pthread_mutex_lock(&fs->lock);
	paths = fs->nodes.forgotten;
	fs->nodes.forgotten = BUF_INIT;
	pthread_mutex_unlock(&fs->lock);
	if (!buf_error(&paths) && paths.len)
		memory_forget(fs->memory, buf_slice(&paths));
	buf_release(&paths);
}

void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	struct fuse_forget_data forget = {.ino = ino, .nlookup = lookups};

	ops_forget_multi(req, 1, &forget);
}

void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct fs *fs = fs_of(req);
	size_t i;

	pthread_mutex_lock(&fs->lock);
	for (i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			node_forget(&fs->nodes, node_of(fs, forgets[i].ino), forgets[i].nlookup);
	pthread_mutex_unlock(&fs->lock);
	fuse_reply_none(req);
	forget_directories(fs);
}
