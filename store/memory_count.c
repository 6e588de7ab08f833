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
	return marks->full ? -ECANCELED : 0; /* all that is to be known */
}

/* What schema_type says of a key that no pattern matches, without reading the value. */
static bool is_learning(struct slice text)
{
	struct marks marks = {.text = text.ptr};
	struct edn_map_shape shape;
	int ret;

	if (!memmem(text.ptr, text.len, "learning", 8))
		return false;
	ret = edn_scan_map(text, 0, EDN_LOAD_DEPTH, look_for_marks, &marks, &shape, NULL);
	if (ret)
		return marks.full;
	return marks.bare && slice_equal(shape.prefix, SLICE_LITERAL("learning"));
}

const char *memory_type_of_value(const struct memory *m, struct slice text)
{
	return memory_value_is_short(m, text) && is_learning(text) ? "learning" : "cache";
}

static const char *type_of(const struct memory *m, struct slice key, struct slice text)
{
	const struct schema_row *row = schema_match(m->options.schema, memory_keyword(key));

	return row ? row->type : memory_type_of_value(m, text);
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

/* One more than that of its row, or 0: out of memory. There are no more types than a schema may have rows, and two. */
static uint16_t number_of(struct type_counts *types, const char *type)
{
	size_t i = 0;

	while (i < types->count && strcmp(types->rows[i].type, type) != 0)
		i++;
	return i == types->count && add_row(types, type) ? 0 : (uint16_t)(i + 1);
}

static int count_in(struct type_counts *types, struct tree_node *node, const char *type)
{
	uint16_t number = number_of(types, type);

	if (!number)
		return -ENOMEM;
	types->rows[number - 1].entities++;
	node->type = number;
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

/* Of all members: it is the collection's pattern that says it, and no value has to be looked at. */
static const char *type_of_members(const struct memory *m, const struct tree_node *dir)
{
	return type_of(m, tree_id(dir), slice_of("", 0));
}

void memory_count_loaded(struct memory *m, const struct tree_node *dir)
{
	struct tree_node *child;
	uint16_t number = 0;
	size_t at = 0;

	pthread_mutex_lock(&m->types.mutex);
	if (m->types.known) {
		number = number_of(&m->types, type_of_members(m, dir));
		m->types.known = number;
	}
	pthread_mutex_unlock(&m->types.mutex);
	while ((child = tree_child_at(dir, &at)))
		child->type = number;
}

static int count_document(struct memory *m, struct tree_node *node)
{
	struct doc doc = DOC_INIT;
	int ret = doc_id(m, node, &doc);

	if (!ret && !doc.id.member.ptr)
		ret = ednfile_get(m->file, doc.id.key, doc.id.member, &doc.item);
	if (!ret)
		ret = count_in(&m->types, node, memory_type_of(m, &doc));
	doc_release(&doc);
	return ret == -ENOMEM ? ret : 0;
}

/* Of what is away nobody has counted, or has. */
static int count_away(struct memory *m, struct tree_node *node)
{
	uint32_t count;
	int ret = 0;

	if (tree_is_uncounted(node)) {
		ret = memory_count_members(m, node, &count);
		if (!ret)
			tree_set_count(m->tree, node, count);
	}
	return ret;
}

static int count_directory(struct memory *m, struct tree_node *node)
{
	uint16_t number;
	int ret = count_away(m, node);

	if (ret || !node->dir->away)
		return ret;
	number = number_of(&m->types, type_of_members(m, node));
	if (!number)
		return -ENOMEM;
	m->types.rows[number - 1].entities += node->dir->away_count;
	return 0;
}

/* With the tree held, and types.mutex. */
static int count_all(struct memory *m)
{
	struct tree_node *root = tree_root(m->tree);
	int ret = 0;

	for (size_t i = 0; i < m->types.count; i++)
		m->types.rows[i].entities = 0;
	for (struct tree_node *node = tree_next(root, root); node && !ret;
		node = tree_next(root, node))
		ret = node->dir ? count_directory(m, node) : count_document(m, node);
	m->types.known = !ret;
	return ret;
}

size_t memory_count_types(struct memory *m, struct memory_type_count *rows, size_t most)
{
	bool walk;
	size_t count = 0;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	tree_hold(m->tree);
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
	tree_let_go(m->tree);
	pthread_rwlock_unlock(&m->lock);
	if (walk)
		memory_resident_trim(m);
	return count;
}

size_t memory_count_documents(struct memory *m)
{
	struct tree_node *node, *root;
	size_t documents;

	pthread_rwlock_rdlock(&m->lock);
	tree_hold(m->tree);
	root = tree_root(m->tree);
	/* without memory to count one, it is the others that are told */
	for (node = root; node && tree_has_uncounted(m->tree); node = tree_next(root, node))
		count_away(m, node);
	documents = tree_documents(m->tree);
	tree_let_go(m->tree);
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

	if (!item->unreadable)
		return 0;
	buf_reset(&all->path);
	ret = path_of_key_text(all->m->options.schema, key,
		ednfile_item_is_collection(all->m->file, key, item), &all->path);
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
