/* SPDX-License-Identifier: MIT */
#include "document.h"

#include <errno.h>
#include <stdlib.h>

#include "hash.h"
#include "lock_order.h"
#include "state.h"
#include "monotonic.h"

enum { BUCKETS = 1024 };

int document_table_init(struct document_table *table)
{
	table->buckets = calloc(BUCKETS, sizeof(*table->buckets));
	table->changes = calloc(BUCKETS, sizeof(*table->changes));
	table->bucket_count = BUCKETS;
	return table->buckets && table->changes ? 0 : -ENOMEM;
}

static void document_free(struct document *document)
{
	pthread_mutex_destroy(&document->commit);
	free(document->left_to);
	free(document->name);
	free(document);
}

void document_table_release(struct document_table *table)
{
	size_t i;

	for (i = 0; table->buckets && i < table->bucket_count; i++) {
		while (table->buckets[i]) {
			struct document *document = table->buckets[i];

			table->buckets[i] = document->next;
			document_free(document);
		}
	}
	free(table->buckets);
	free(table->changes);
	*table = (struct document_table){0};
}

static size_t index_of(struct fs *fs, const struct node *parent, struct slice name)
{
	return hash64(name.ptr, name.len, (uint64_t)(uintptr_t)parent) &
	       (fs->documents.bucket_count - 1);
}

static struct document **bucket_of(struct fs *fs, const struct node *parent, struct slice name)
{
	return &fs->documents.buckets[index_of(fs, parent, name)];
}

static struct slice document_name(const struct document *document)
{
	return slice_of(document->name, document->name_len);
}

void document_touch(struct fs *fs, const struct document *document)
{
	fs->documents.changes[index_of(fs, document->parent, document_name(document))]++;
}

uint32_t document_settled(struct fs *fs, const struct node *parent, struct slice name)
{
	const struct document *document;

	while (fs->adopting ||
		((document = document_find(fs, parent, name)) && document->committing))
		pthread_cond_wait(&fs->published, &fs->lock);
	return fs->documents.changes[index_of(fs, parent, name)];
}

void document_settled_node(struct fs *fs, const struct node *node)
{
	const struct document *document;

	while (fs->adopting || ((document = document_find(fs, node->parent, node_name(node))) &&
				       document->committing))
		pthread_cond_wait(&fs->published, &fs->lock);
}

struct document *document_find(struct fs *fs, const struct node *parent, struct slice name)
{
	struct document *document = *bucket_of(fs, parent, name);

	while (document &&
		!(document->parent == parent && slice_equal(document_name(document), name)))
		document = document->next;
	return document;
}

static char *copy_name(struct slice name)
{
	char *copy = malloc(name.len + 1);

	if (copy) {
		memcpy(copy, name.ptr, name.len);
		copy[name.len] = '\0';
	}
	return copy;
}

static void insert(struct fs *fs, struct document *document)
{
	struct document **bucket = bucket_of(fs, document->parent, document_name(document));

	document->next = *bucket;
	*bucket = document;
}

static void take_out(struct fs *fs, struct document *document)
{
	struct document **at = bucket_of(fs, document->parent, document_name(document));

	while (*at && *at != document)
		at = &(*at)->next;
	if (*at)
		*at = document->next;
	document->next = NULL;
}

struct document *document_get(struct fs *fs, struct node *parent, struct slice name)
{
	struct document *document = document_find(fs, parent, name);

	if (document) {
		document->refs++;
		return document;
	}
	document = calloc(1, sizeof(*document));
	if (!document)
		return NULL;
	document->name = copy_name(name);
	if (!document->name || mutex_init(&document->commit, LOCK_COMMIT)) {
		free(document->name);
		free(document);
		return NULL;
	}
	document->name_len = name.len;
	document->refs = 1;
	document->parent = parent;
	node_ref(parent);
	insert(fs, document);
	return document;
}

void document_unref(struct fs *fs, struct document *document)
{
	if (!document || --document->refs)
		return;
	if (!document->dead)
		take_out(fs, document);
	node_unref(&fs->nodes, document->parent);
	document_free(document);
}

/* Nodes that no name finds would go on standing for what comes to be at the old name. */
static int move_nodes(struct fs *fs, struct document *document)
{
	struct expectation *expectation;
	struct handle *handle;
	int ret = 0;

	for (handle = document->handles; handle && !ret; handle = handle->next)
		if (!handle->node->hashed)
			ret = node_move(&fs->nodes, handle->node, document->parent,
				document_name(document));
	for (expectation = fs->expectations; expectation && !ret; expectation = expectation->next)
		if (expectation->document == document && expectation->own &&
			!expectation->own->hashed)
			ret = node_move(&fs->nodes, expectation->own, document->parent,
				document_name(document));
	return ret;
}

int document_move(struct fs *fs, struct document *document, struct node *parent, struct slice name)
{
	char *copy = copy_name(name);

	if (!copy)
		return -ENOMEM;
	take_out(fs, document);
	free(document->name);
	document->name = copy;
	document->name_len = name.len;
	node_ref(parent);
	node_unref(&fs->nodes, document->parent);
	document->parent = parent;
	insert(fs, document);
	return move_nodes(fs, document);
}

int document_swap(struct fs *fs, struct document *document, struct document *other)
{
	struct document kept = *document;
	int ret;

	take_out(fs, document);
	take_out(fs, other);
	document->name = other->name;
	document->name_len = other->name_len;
	document->parent = other->parent;
	other->name = kept.name;
	other->name_len = kept.name_len;
	other->parent = kept.parent;
	insert(fs, document);
	insert(fs, other);
	ret = move_nodes(fs, document);
	return ret ? ret : move_nodes(fs, other);
}

bool document_is_seen(const struct document *document)
{
	bool told = false;

	for (const struct handle *one = document->handles; one; one = one->next) {
		if (!one->draft || !one->writable)
			continue;
		if (!atomic_load(&one->draft->told))
			return document->created;
		told = true;
	}
	return document->created && (document->on_disk || !told);
}

bool document_any_created(struct fs *fs, const struct node *directory)
{
	const struct document *document;
	size_t i;

	for (i = 0; i < fs->documents.bucket_count; i++)
		for (document = fs->documents.buckets[i]; document; document = document->next)
			if (document_is_seen(document) && document->parent == directory)
				return true;
	return false;
}

void document_kill(struct fs *fs, struct document *document)
{
	if (document->dead)
		return;
	take_out(fs, document);
	document->dead = true;
	document->created = false;
}

void document_kill_in(struct fs *fs, const struct node *directory)
{
	for (size_t i = 0; i < fs->documents.bucket_count; i++) {
		struct document *document = fs->documents.buckets[i];

		while (document) {
			struct document *next = document->next;

			if (document->parent == directory)
				document_kill(fs, document);
			document = next;
		}
	}
}

int document_path(struct fs *fs, struct document *document, struct buf *path)
{
	(void)fs;
	return node_path(document->parent, document_name(document), path);
}

/* ---- expectations ---- */

enum { EXPECTATION_MS = 2000 };

void expectation_give(struct fs *fs, struct expectation *expectation, struct node *node)
{
	expectation->looked_up = true;
	if (expectation->own == node)
		return;
	node_hold(node);
	node_release(&fs->nodes, expectation->own);
	expectation->own = node;
}

void expectation_drop(struct fs *fs, struct expectation *expectation)
{
	struct expectation **at = &fs->expectations;

	while (*at != expectation)
		at = &(*at)->next;
	*at = expectation->next;
	node_unref(&fs->nodes, expectation->refused);
	node_release(&fs->nodes, expectation->own);
	node_unref(&fs->nodes, expectation->parent);
	document_unref(fs, expectation->document);
	free(expectation->name);
	free(expectation);
}

static void drop_expired(struct fs *fs)
{
	struct expectation *expectation = fs->expectations;
	int64_t now = expectation ? monotonic_ms() : 0;

	while (expectation) {
		struct expectation *next = expectation->next;

		if (expectation->deadline_ms < now)
			expectation_drop(fs, expectation);
		expectation = next;
	}
}

struct expectation *expectation_of_node(struct fs *fs, pid_t thread, const struct node *node)
{
	struct expectation *expectation;

	drop_expired(fs);
	for (expectation = fs->expectations; expectation; expectation = expectation->next)
		if (expectation->thread == thread &&
			(expectation->refused == node || expectation->own == node))
			return expectation;
	return NULL;
}

struct expectation *expectation_of_name(struct fs *fs, pid_t thread, const struct node *parent,
	struct slice name)
{
	struct expectation *expectation;

	drop_expired(fs);
	for (expectation = fs->expectations; expectation; expectation = expectation->next)
		if ((!thread || expectation->thread == thread) && expectation->parent == parent &&
			slice_equal(slice_of(expectation->name, expectation->name_len), name))
			return expectation;
	return NULL;
}

int expectation_add(struct fs *fs, pid_t thread, struct document *document, struct node *refused,
	bool write)
{
	struct expectation *expectation = calloc(1, sizeof(*expectation));

	if (!expectation)
		return -ENOMEM;
	expectation->name = copy_name(node_name(refused));
	if (!expectation->name) {
		free(expectation);
		return -ENOMEM;
	}
	expectation->name_len = refused->name_len;
	expectation->parent = refused->parent;
	node_ref(refused->parent);
	document->refs++;
	node_ref(refused);
	expectation->thread = thread;
	expectation->document = document;
	expectation->refused = refused;
	expectation->write = write;
	expectation->deadline_ms = monotonic_ms() + EXPECTATION_MS;
	expectation->next = fs->expectations;
	fs->expectations = expectation;
	return 0;
}
