/* SPDX-License-Identifier: MIT */
#include "node.h"

#include <errno.h>
#include <stdlib.h>

#include "draft.h"
#include "events.h"
#include "hash.h"

enum { FIRST_BUCKETS = 1024 };

static size_t bucket_of(const struct node_table *table, const struct node *parent,
	struct slice name)
{
	return hash64(name.ptr, name.len, (uint64_t)(uintptr_t)parent) & (table->bucket_count - 1);
}

int node_table_init(struct node_table *table, uint64_t root_ino)
{
	*table = (struct node_table){0};
	table->buckets = calloc(FIRST_BUCKETS, sizeof(*table->buckets));
	table->bucket_count = FIRST_BUCKETS;
	table->count = 0;
	table->root = node_new(table, NULL, slice_str(""), NODE_DIRECTORY);
	if (!table->buckets || !table->root) {
		node_table_release(table);
		*table = (struct node_table){0};
		return -ENOMEM;
	}
	table->root->ino = root_ino;
	return 0;
}

static void node_free(struct node *node)
{
	version_unref(node->pinned);
	event_stream_free(node->stream);
	draft_unref(node->draft);
	free(node->name);
	free(node);
}

void node_table_release(struct node_table *table)
{
	size_t i;

	for (i = 0; table->buckets && i < table->bucket_count; i++) {
		while (table->buckets[i]) {
			struct node *node = table->buckets[i];

			table->buckets[i] = node->next;
			node_free(node);
		}
	}
	while (table->loose) { /* the root among them */
		struct node *node = table->loose;

		table->loose = node->next;
		node_free(node);
	}
	free(table->buckets);
	*table = (struct node_table){0};
}

static void put_loose(struct node_table *table, struct node *node)
{
	node->prev = NULL;
	node->next = table->loose;
	if (table->loose)
		table->loose->prev = node;
	table->loose = node;
}

static void take_loose(struct node_table *table, struct node *node)
{
	if (node->prev)
		node->prev->next = node->next;
	else
		table->loose = node->next;
	if (node->next)
		node->next->prev = node->prev;
}

struct node *node_new(struct node_table *table, struct node *parent, struct slice name,
	enum node_kind kind)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->name = malloc(name.len + 1);
	if (!node->name) {
		free(node);
		return NULL;
	}
	memcpy(node->name, name.ptr, name.len);
	node->name[name.len] = '\0';
	node->name_len = (uint16_t)name.len;
	node->kind = kind;
	node->refs = 1;
	node->parent = parent;
	if (parent)
		node_ref(parent);
	put_loose(table, node);
	return node;
}

struct node *node_find(const struct node_table *table, const struct node *parent, struct slice name)
{
	struct node *node = table->buckets[bucket_of(table, parent, name)];

	while (node && !(node->parent == parent && slice_equal(node_name(node), name)))
		node = node->next;
	return node;
}

/* Without memory for more buckets the table gets slower, not wrong. */
static void grow(struct node_table *table)
{
	struct node **old = table->buckets;
	size_t old_count = table->bucket_count;
	struct node **buckets = calloc(old_count * 2, sizeof(*buckets));
	size_t i;

	if (!buckets)
		return;
	table->buckets = buckets;
	table->bucket_count = old_count * 2;
	for (i = 0; i < old_count; i++) {
		while (old[i]) {
			struct node *node = old[i];
			size_t b = bucket_of(table, node->parent, node_name(node));

			old[i] = node->next;
			node->next = buckets[b];
			buckets[b] = node;
		}
	}
	free(old);
}

void node_hash(struct node_table *table, struct node *node)
{
	struct node *other = node_find(table, node->parent, node_name(node));
	size_t bucket;

	if (other == node)
		return;
	if (other)
		node_unhash(table, other);
	if (table->count >= table->bucket_count)
		grow(table);
	take_loose(table, node);
	bucket = bucket_of(table, node->parent, node_name(node));
	node->next = table->buckets[bucket];
	table->buckets[bucket] = node;
	node->hashed = true;
	table->count++;
}

void node_unhash(struct node_table *table, struct node *node)
{
	struct node **at;

	if (!node->hashed)
		return;
	at = &table->buckets[bucket_of(table, node->parent, node_name(node))];
	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->hashed = false;
	table->count--;
	put_loose(table, node);
}

int node_move(struct node_table *table, struct node *node, struct node *parent, struct slice name)
{
	char *copy = malloc(name.len + 1);
	struct node *old_parent = node->parent;
	bool hashed = node->hashed;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, name.ptr, name.len);
	copy[name.len] = '\0';
	node_unhash(table, node);
	free(node->name);
	node->name = copy;
	node->name_len = (uint16_t)name.len;
	node_ref(parent);
	node->parent = parent;
	if (old_parent)
		node_unref(table, old_parent);
	if (hashed)
		node_hash(table, node);
	return 0;
}

void node_ref(struct node *node)
{
	node->refs++;
}

static void free_unused(struct node_table *table, struct node *node)
{
	while (node && node != table->root && !node->refs && !node->lookups) {
		struct node *parent = node->parent;

		node_unhash(table, node);
		take_loose(table, node);
		node_free(node);
		if (parent)
			parent->refs--;
		node = parent;
	}
}

void node_unref(struct node_table *table, struct node *node)
{
	if (!node)
		return;
	node->refs--;
	free_unused(table, node);
}

void node_hold(struct node *node)
{
	node->refs++;
	node->handles++;
}

void node_release(struct node_table *table, struct node *node)
{
	if (!node)
		return;
	if (--node->handles == 0) {
		version_unref(node->pinned);
		node->pinned = NULL;
		event_stream_free(node->stream);
		node->stream = NULL;
	}
	node_unref(table, node);
}

void node_forget(struct node_table *table, struct node *node, uint64_t lookups)
{
	node->lookups -= lookups < node->lookups ? lookups : node->lookups;
	free_unused(table, node);
}

int node_path(const struct node *node, struct slice name, struct buf *path)
{
	size_t len = name.len;
	const struct node *up;
	char *at;

	for (up = node; up->parent; up = up->parent)
		len += up->name_len + (len ? 1 : 0);
	at = buf_reserve(path, len + 1);
	if (!at)
		return -ENOMEM;
	path->len += len;
	at += len;
	if (name.len) {
		at -= name.len;
		memcpy(at, name.ptr, name.len);
	}
	for (up = node; up->parent; up = up->parent) {
		if (at != path->ptr + path->len)
			*--at = '/';
		at -= up->name_len;
		memcpy(at, up->name, up->name_len);
	}
	return 0;
}
