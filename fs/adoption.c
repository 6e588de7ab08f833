/* SPDX-License-Identifier: MIT */
#include "adoption.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "monotonic.h"
#include "state.h"
#include "stores.h"
#include "view.h"

/* So long is looked before others may have fs->lock. */
enum { STEP_NS = 300000 };

/* A document that is open, and the node whose bytes its readers will want; both referenced. */
struct held {
	struct held *next;
	struct document *document;
	struct node *node;
};

static struct held *collect_open(struct fs *fs)
{
	struct held *first = NULL;
	size_t i;

	for (i = 0; i < fs->documents.bucket_count; i++) {
		struct document *document = fs->documents.buckets[i];

		for (; document; document = document->next) {
			struct node *node = node_find(&fs->nodes, document->parent,
				slice_of(document->name, document->name_len));
			struct held *held = node && node->handles && !node->pinned && node->version
						    ? malloc(sizeof(*held))
						    : NULL;

			if (!held)
				continue;
			document->refs++;
			node_ref(node);
			*held = (struct held){first, document, node};
			first = held;
		}
	}
	return first;
}

/* From here on nothing is opened or looked up until the adoption has ended. */
static void begin(struct fs *fs)
{
	struct held *held;

	prune_now(fs); /* while the memory still has their directories */
	pthread_mutex_lock(&fs->lock);
	fs->adopting = true;
	fs->renames_before = fs->renames ? UINT64_MAX : fs->renames_begun;
	held = collect_open(fs);
	pthread_mutex_unlock(&fs->lock);
	while (held) {
		struct held *next = held->next;

		/* Without memory a reader of the old version gets an error, never a mix. */
		(void)document_pin(fs, held->document, held->node);
		pthread_mutex_lock(&fs->lock);
		node_unref(&fs->nodes, held->node);
		document_unref(fs, held->document);
		pthread_mutex_unlock(&fs->lock);
		free(held);
		held = next;
	}
}

/* A real file there steps aside when someone looks (view.c). */
static bool is_key_directory(struct fs *fs, struct slice path)
{
	struct memory_stat found;

	return !view_below_dot(path) && !memory_stat(fs->memory, path, &found) &&
	       found.kind == MEMORY_DIRECTORY;
}

/*
 * With fs->lock held: does the node still stand for what is at its path? A directory of one store's tree is not looked
 * for: the tree may have to be made first, from the disk, and the kernel asks again soon enough.
 */
static bool is_true(struct fs *fs, const struct node *node, struct buf *path)
{
	struct view view;

	buf_reset(path);
	if (node_kind(node) == NODE_CONTROL || node_kind(node) == NODE_STORE)
		return true;
	if (node_path(node, slice_str(""), path))
		return false;
	if (node_kind(node) == NODE_SCRATCH)
		return !is_key_directory(fs, buf_slice(path));
	if (stores_have(buf_slice(path)))
		return true;
	if (view_find(fs, buf_slice(path), &view))
		return false;
	if (node_kind(node) == NODE_DOCUMENT)
		return view.version == node->version;
	return view.kind == VIEW_DIRECTORY;
}

/* A directory that comes back is the same one: documents that are open in it are found by it. */
static void let_go(struct fs *fs, struct node *node)
{
	const struct notice_answer nothing = {.kind = NOTICE_NONE};

	if (node_kind(node) != NODE_DIRECTORY) {
		node->state = NODE_OLD;
		node_unhash(&fs->nodes, node);
	}
	node_ref(node->parent);
	if (notifier_entry(fs->notifier, ino_of(fs, node->parent), node_name(node), &nothing))
		node_unref(&fs->nodes, node->parent);
}

/*
 * With fs->lock held; who reads what he has open may have it in between: who waits for it needs as long as the nap to wake.
 * On a busy machine that lasts as long as a slice of this thread's, which is long (background.h), and everyone who opens
 * a file waits for the end: at least half of the time is for the work.
 */
static void let_others_in(struct fs *fs, int64_t *next_ns)
{
	const struct timespec nap = {.tv_nsec = 1000}; /* and the timer slack, of 50 us */
	const int64_t start_ns = monotonic_ns();
	int64_t end_ns;

	if (start_ns < *next_ns)
		return;
	pthread_mutex_unlock(&fs->lock);
	nanosleep(&nap, NULL);
	pthread_mutex_lock(&fs->lock);
	end_ns = monotonic_ns();
	*next_ns = end_ns + (end_ns - start_ns > STEP_NS ? end_ns - start_ns : STEP_NS);
}

/* With fs->lock held. */
static void look_at_bucket(struct fs *fs, size_t i, struct buf *path)
{
	struct node *node = fs->nodes.buckets[i];

	while (node) {
		struct node *next = node->next;

		/* one that lost its name may be met again, in another bucket */
		if (node->hashed && !is_true(fs, node, path))
			let_go(fs, node);
		node = next;
	}
}

/* With fs->lock held. False: the table got another size meanwhile, and there may be some that were passed over. */
static bool look_at_all(struct fs *fs, struct buf *path)
{
	size_t bucket_count = fs->nodes.bucket_count;
	int64_t next_ns = monotonic_ns() + STEP_NS;

	for (size_t i = 0; i < bucket_count; i++) {
		look_at_bucket(fs, i, path);
		let_others_in(fs, &next_ns);
		if (fs->nodes.bucket_count != bucket_count)
			return false;
	}
	return true;
}

/* How much of both is the same directories, with the slash behind. */
static size_t shared_len(struct slice a, struct slice b)
{
	size_t shared = 0;

	for (size_t i = 0; i < a.len && i < b.len && a.ptr[i] == b.ptr[i]; i++)
		if (a.ptr[i] == '/')
			shared = i + 1;
	return shared;
}

/* With fs->lock held: what stands at the path, and the directories above but those that were looked at. */
static void look_at_path(struct fs *fs, struct slice at, size_t looked_at, struct buf *path)
{
	const char *from = at.ptr;
	const char *end = at.ptr + at.len;
	struct node *node = fs->nodes.root;

	while (node && from < end) {
		const char *slash = memchr(from, '/', (size_t)(end - from));
		const char *stop = slash ? slash : end;

		node = node_find(&fs->nodes, node, slice_of(from, (size_t)(stop - from)));
		from = slash ? slash + 1 : end;
		if (node && from > at.ptr + looked_at && !is_true(fs, node, path))
			let_go(fs, node);
	}
}

static size_t count_paths(struct slice paths)
{
	size_t count = 0;

	for (; paths.len; count++)
		(void)slice_cut_string(&paths);
	return count;
}

/*
 * With fs->lock held. A directory that is renamed meanwhile takes what is below it to another path, in the memory earlier
 * than in the node table: false, what was changed may be at a path that nobody was told of.
 */
static bool look_at_paths(struct fs *fs, struct slice paths, struct buf *path)
{
	int64_t next_ns = monotonic_ns() + STEP_NS;
	struct slice last = slice_of("", 0);

	while (paths.len && fs->renames_before == fs->renames_begun) {
		struct slice at = slice_cut_string(&paths);

		look_at_path(fs, at, shared_len(last, at), path);
		last = at;
		let_others_in(fs, &next_ns);
	}
	return fs->renames_before == fs->renames_begun;
}

static void end(struct fs *fs, const struct slice *paths)
{
	const size_t count = paths ? count_paths(*paths) : 0;
	struct buf path = BUF_INIT;
	bool done;

	pthread_mutex_lock(&fs->lock);
	done = paths && count <= fs->nodes.count && look_at_paths(fs, *paths, &path);
	while (!done)
		done = look_at_all(fs, &path);
	for (size_t i = 0; i < fs->documents.bucket_count; i++)
		fs->documents.changes[i]++; /* lookups under way begin anew */
	fs->adopting = false;
	pthread_cond_broadcast(&fs->published);
	pthread_mutex_unlock(&fs->lock);
	buf_release(&path);
}

void adoption_event(void *context, enum memory_adoption phase, const struct slice *paths)
{
	struct fs *fs = context;

	if (phase == MEMORY_ADOPTION_BEGINS)
		begin(fs);
	else
		end(fs, paths);
}
