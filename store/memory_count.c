/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the type of a value ---- */

/* Keys that make a map a learning, the second where its prefix says learning. */
struct marks {
	const char *text;
	bool full, bare;
};

static int look_for_marks(void *context, const struct edn_map_entry *entry)
{
	struct marks *marks = context;
	struct slice key = slice_of(marks->text + entry->key.offset, entry->key.len);

	marks->full |= slice_equal(key, SLICE_LITERAL(":learning/id"));
	marks->bare |= slice_equal(key, SLICE_LITERAL(":id"));
	return 0;
}

/* What schema_type says of a key that no pattern matches, without reading the value. */
static bool is_learning(struct slice text)
{
	struct marks marks = {.text = text.ptr};
	struct edn_map_shape shape;

	if (!memmem(text.ptr, text.len, "learning", 8) ||
		edn_scan_map(text, 0, EDN_LOAD_DEPTH, look_for_marks, &marks, &shape, NULL))
		return false;
	return marks.full || (marks.bare && slice_equal(shape.prefix, SLICE_LITERAL("learning")));
}

static const char *type_of(const struct memory *m, struct slice key, struct slice text)
{
	const struct schema_row *row = schema_match(m->options.schema, memory_keyword(key));

	return row ? row->type : is_learning(text) ? "learning" : "cache";
}

const char *memory_type_of(struct memory *m, const struct doc *doc)
{
	return type_of(m, doc->id.key, doc->item.text);
}

/* ---- the tree's documents by type ---- */

static int add_row(struct type_counts *types, const char *type)
{
	struct memory_type_count *rows;

	if (types->count == types->cap) {
		size_t cap = types->cap ? types->cap * 2 : 32;

		rows = reallocarray(types->rows, cap, sizeof(*rows));
		if (!rows)
			return -ENOMEM;
		types->rows = rows;
		types->cap = cap;
	}
	types->rows[types->count++] = (struct memory_type_count){type, 0};
	return 0;
}

/* There are no more types than a schema may have rows, and two: its number is one of 16 bits. */
static int count_in(struct type_counts *types, struct tree_node *node, const char *type)
{
	size_t i = 0;

	while (i < types->count && strcmp(types->rows[i].type, type) != 0)
		i++;
	if (i == types->count && add_row(types, type))
		return -ENOMEM;
	types->rows[i].entities++;
	node->type = (uint16_t)(i + 1);
	return 0;
}

void memory_count_out(struct memory *m, struct tree_node *node)
{
	struct type_counts *types = &m->types;

	if (types->known && node->type)
		types->rows[node->type - 1].entities--;
	node->type = 0;
}

void memory_count_in(struct memory *m, struct tree_node *node, struct slice key, struct slice text)
{
	memory_count_out(m, node);
	if (m->types.known)
		m->types.known = !count_in(&m->types, node, type_of(m, key, text));
}

/* With types.mutex held. */
static int count_all(struct memory *m)
{
	struct tree_node *root = tree_root(m->tree);
	int ret = tree_load_below(m->tree, root);

	for (size_t i = 0; i < m->types.count; i++)
		m->types.rows[i].entities = 0;
	for (struct tree_node *node = tree_next(root, root); node && !ret;
		node = tree_next(root, node)) {
		struct doc doc = DOC_INIT;

		if (node->dir)
			continue;
		ret = doc_id(m, node, &doc);
		/* of a member the collection's pattern says it, and the file needs no table of its members */
		if (!ret && !doc.id.member.ptr)
			ret = ednfile_get(m->file, doc.id.key, doc.id.member, &doc.item);
		if (!ret)
			ret = count_in(&m->types, node, memory_type_of(m, &doc));
		doc_release(&doc);
		ret = ret == -ENOMEM ? ret : 0;
	}
	m->types.known = !ret;
	return ret;
}

size_t memory_count_types(struct memory *m, struct memory_type_count *rows, size_t most)
{
	bool walk;
	size_t count = 0;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	pthread_mutex_lock(&m->types.mutex);
	walk = !m->types.known;
	ret = walk ? count_all(m) : 0;
	for (size_t i = 0; i < m->types.count && !ret; i++) {
		if (!m->types.rows[i].entities)
			continue;
		if (count < most)
			rows[count] = m->types.rows[i];
		count++;
	}
	pthread_mutex_unlock(&m->types.mutex);
	pthread_rwlock_unlock(&m->lock);
	if (walk)
		memory_resident_trim(m);
	return count;
}

size_t memory_count_documents(struct memory *m)
{
	size_t documents;

	pthread_rwlock_rdlock(&m->lock);
	/* without memory for those that are away, it is the rest that is told */
	tree_load_below(m->tree, tree_root(m->tree));
	documents = tree_documents(m->tree);
	pthread_rwlock_unlock(&m->lock);
	return documents;
}

/* ---- the EAV store's ---- */

int memory_count_eav_types(struct memory *m, memory_type_fn *fn, void *context)
{
	int ret = 0;

	pthread_rwlock_rdlock(&m->lock);
	if (m->eav.store && atomic_load(&m->eav.state) != EAV_FAILED)
		ret = eav_each_type(m->eav.store, fn, context);
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

/* ---- what Clojure can't read ---- */

struct unreadable {
	struct memory *m;
	memory_unreadable_fn *fn;
	void *context;
	struct buf path;
};

static int tell_unreadable(void *context, struct slice key, const struct ednfile_item *item)
{
	struct unreadable *all = context;
	int ret;

	if (!item->lenient)
		return 0;
	buf_reset(&all->path);
	ret = path_of_key_text(all->m->options.schema, key,
		ednfile_is_collection(all->m->file, key), &all->path);
	return ret ? ret : all->fn(all->context, key, buf_slice(&all->path));
}

int memory_each_unreadable(struct memory *m, memory_unreadable_fn *fn, void *context)
{
	struct unreadable all = {.m = m, .fn = fn, .context = context};
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	ret = ednfile_each(m->file, tell_unreadable, &all);
	pthread_rwlock_unlock(&m->lock);
	buf_release(&all.path);
	return ret == -ECANCELED ? 0 : ret;
}
