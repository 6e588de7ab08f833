/* SPDX-License-Identifier: MIT */
#include "node.h"

#include <errno.h>
#include <stdlib.h>

#include "draft.h"
#include "events.h"
#include "hash.h"
#include "huge.h"

enum { FIRST_BUCKETS = 1024 };

static size_t bucket_of_name(const struct node_table *table, const struct node *parent,
	struct slice name)
{
	return hash64(name.ptr, name.len, (uint64_t)(uintptr_t)parent) & (table->bucket_count - 1);
}

static struct node **bucket_of(const struct node_table *table, const struct node *node)
{
	size_t at = node->hashed ? bucket_of_name(table, node->parent, node_name(node))
				 : hash64(&node, sizeof(node), 0) & (table->bucket_count - 1);

	return &table->buckets[at];
}

int node_table_init(struct node_table *table, uint64_t root_ino)
{
	*table = (struct node_table){0};
	table->buckets = huge_alloc(FIRST_BUCKETS * sizeof(*table->buckets));
	table->bucket_count = table->buckets ? FIRST_BUCKETS : 0;
	table->root = table->buckets ? node_new(table, NULL, slice_str(""), NODE_DIRECTORY) : NULL;
	if (!table->root) {
		node_table_release(table);
		return -ENOMEM;
	}
	table->root->ino = root_ino;
	return 0;
}

/* ---- names: in place, where there is room ---- */

static size_t size_of(const struct node *node)
{
	return offsetof(struct node, name) + node->name_room;
}

static void free_name(struct node *node)
{
	if (node->name_len > node->name_room)
		free((char *)node_name(node).ptr);
}

static int set_name(struct node *node, struct slice name)
{
	char *apart = NULL;

	if (name.len > UINT8_MAX)
		return -ENAMETOOLONG;
	if (name.len > node->name_room) {
		apart = malloc(name.len);
		if (!apart)
			return -ENOMEM;
		memcpy(apart, name.ptr, name.len);
	}
	free_name(node);
	if (apart)
		memcpy(node->name, &apart, sizeof(apart));
	else if (name.len)
		memcpy(node->name, name.ptr, name.len);
	node->name_len = (uint8_t)name.len;
	return 0;
}

/* ---- the table ---- */

static void node_free(struct node_table *table, struct node *node)
{
	version_unref(node->pinned);
	draft_unref(node->draft);
	if (node_kind(node) == NODE_CONTROL)
		event_stream_free(node->stream);
	free_name(node);
	slab_free(&table->pool, node, size_of(node));
}

void node_table_release(struct node_table *table)
{
	size_t i;

	for (i = 0; i < table->bucket_count; i++) {
		while (table->buckets[i]) {
			struct node *node = table->buckets[i];

			table->buckets[i] = node->next;
			node_free(table, node);
		}
	}
	huge_free(table->buckets, table->bucket_count * sizeof(*table->buckets));
	buf_release(&table->forgotten);
	slab_pool_release(&table->pool);
	*table = (struct node_table){0};
}

static void put_in(struct node_table *table, struct node *node)
{
	struct node **bucket = bucket_of(table, node);

	node->next = *bucket;
	*bucket = node;
}

static void take_out(struct node_table *table, const struct node *node)
{
	struct node **at = bucket_of(table, node);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
}

/* Without memory for other buckets the table gets slower, or stays larger, not wrong. */
static void resize(struct node_table *table, size_t bucket_count)
{
	struct node **old = table->buckets;
	size_t old_count = table->bucket_count;
	struct node **buckets = huge_alloc(bucket_count * sizeof(*buckets));
	size_t i;

	if (!buckets)
		return;
	table->buckets = buckets;
	table->bucket_count = bucket_count;
	for (i = 0; i < old_count; i++) {
		while (old[i]) {
			struct node *node = old[i];

			old[i] = node->next;
			put_in(table, node);
		}
	}
	huge_free(old, old_count * sizeof(*old));
}

static void fit(struct node_table *table)
{
	if (table->count >= table->bucket_count)
		resize(table, table->bucket_count * 2);
	else if (table->bucket_count > FIRST_BUCKETS && table->count < table->bucket_count / 8)
		resize(table, table->bucket_count / 4);
}

static struct node *make(struct node_table *table, struct node *parent, struct slice name,
	enum node_kind kind, bool hashed)
{
	uint8_t room = (uint8_t)(name.len < sizeof(char *) ? sizeof(char *) : name.len);
	struct node *node;

	if (name.len > UINT8_MAX)
		return NULL;
	node = slab_alloc(&table->pool, offsetof(struct node, name) + room);
	if (!node)
		return NULL;
	*node = (struct node){.refs = 1, .parent = parent, .name_room = room, .hashed = hashed};
	node_set_kind(node, kind, 0);
	(void)set_name(node, name);
	if (parent)
		node_ref(parent);
	table->count++;
	fit(table);
	put_in(table, node);
	return node;
}

struct node *node_new(struct node_table *table, struct node *parent, struct slice name,
	enum node_kind kind)
{
	return make(table, parent, name, kind, false);
}

struct node *node_new_hashed(struct node_table *table, struct node *parent, struct slice name,
	enum node_kind kind)
{
	return make(table, parent, name, kind, true);
}

struct node *node_find(const struct node_table *table, const struct node *parent, struct slice name)
{
	struct node *node = table->buckets[bucket_of_name(table, parent, name)];

	while (node &&
		!(node->hashed && node->parent == parent && slice_equal(node_name(node), name)))
		node = node->next;
	return node;
}

struct node *node_find_path(const struct node_table *table, struct slice path)
{
	const char *at = path.ptr;
	const char *end = path.ptr + path.len;
	struct node *node = table->root;

	while (node && at < end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		const char *stop = slash ? slash : end;

		node = node_find(table, node, slice_of(at, (size_t)(stop - at)));
		at = slash ? slash + 1 : end;
	}
	return node;
}

static void set_hashed(struct node_table *table, struct node *node, bool hashed)
{
	take_out(table, node);
	node->hashed = hashed;
	put_in(table, node);
}

void node_hash(struct node_table *table, struct node *node)
{
	struct node *other = node_find(table, node->parent, node_name(node));

	if (other == node)
		return;
	if (other)
		node_unhash(table, other);
	set_hashed(table, node, true);
}

void node_unhash(struct node_table *table, struct node *node)
{
	if (node->hashed)
		set_hashed(table, node, false);
}

int node_move(struct node_table *table, struct node *node, struct node *parent, struct slice name)
{
	struct node *old_parent = node->parent;
	bool hashed = node->hashed;
	int ret;

	node_unhash(table, node);
	ret = set_name(node, name);
	if (!ret) {
		node_ref(parent);
		node->parent = parent;
	}
	if (hashed)
		node_hash(table, node);
	if (!ret && old_parent)
		node_unref(table, old_parent);
	return ret;
}

void node_ref(struct node *node)
{
	node->refs++;
}

static void note_forgotten(struct node_table *table, const struct node *node)
{
	if (node_kind(node) != NODE_DIRECTORY || !node->hashed ||
		node_path(node, slice_str(""), &table->forgotten))
		return;
	buf_add_char(&table->forgotten, '\0');
}

static void free_unused(struct node_table *table, struct node *node)
{
	while (node && node != table->root && !node->refs && !node->lookups) {
		struct node *parent = node->parent;

		note_forgotten(table, node);
		take_out(table, node);
		table->count--;
		node_free(table, node);
		if (parent)
			parent->refs--;
		node = parent;
	}
	fit(table);
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
		if (node_kind(node) == NODE_CONTROL) {
			event_stream_free(node->stream);
			node->stream = NULL;
		}
	}
	node_unref(table, node);
}

void node_forget(struct node_table *table, struct node *node, uint64_t lookups)
{
	if (node->lookups < UINT32_MAX)
		node->lookups -= lookups < node->lookups ? (uint32_t)lookups : node->lookups;
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
		memcpy(at, node_name(up).ptr, up->name_len);
	}
	return 0;
}
