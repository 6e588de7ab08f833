/* SPDX-License-Identifier: MIT */
#include "env_pages_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t NO_PAGE = UINT64_MAX;

/* ---- nodes ---- */

struct level {
	char *page;
	uint64_t number;
	unsigned count, at;
	unsigned upper; /* where its nodes begin */
};

/* A walk through one tree, from leaf to leaf. */
struct walk {
	struct env_pages *p;
	const struct env_tree *tree;
	bool values; /* are looked at, and told */
	env_row_fn *fn;
	void *context;
	struct level levels[DEPTH_MAX];
	unsigned depth;
	struct buf last; /* no key that follows is below it; is_last: nor equal */
	bool is_last, any;
	struct buf big;
	uint64_t entries;
};

struct node {
	unsigned flags;
	struct slice key;
	const char *data;
	uint64_t size;  /* of a leaf's value */
	uint64_t child; /* of a branch */
	size_t bytes;   /* it takes on its page */
};

static unsigned kind_of(const struct level *l)
{
	return (unsigned)env_get(l->page + HEAD_FLAGS, 2);
}

static size_t node_at(const struct level *l, unsigned i)
{
	return (size_t)env_get(l->page + HEAD_BYTES + 2 * (size_t)i, 2);
}

/* LMDB follows these without a question. A tree stands in the main one alone, and on the page itself. */
static bool good_flags(const struct walk *w, const struct node *n)
{
	if (n->flags == NODE_TREE)
		return w->tree == &w->p->main && n->size == TREE_BYTES;
	return !n->flags || n->flags == NODE_BIG;
}

static bool get_node(const struct walk *w, const struct level *l, unsigned i, struct node *n)
{
	size_t at = node_at(l, i);
	size_t page_bytes = w->p->page_bytes;
	size_t key_len, held;

	if (at < l->upper || at % 2 || at + NODE_BYTES > page_bytes)
		return false;
	key_len = (size_t)env_get(l->page + at + 6, 2);
	if (key_len > page_bytes - at - NODE_BYTES || key_len > KEY_MAX ||
		(!key_len && kind_of(l) == PAGE_LEAF))
		return false;
	*n = (struct node){.key = slice_of(l->page + at + NODE_BYTES, key_len),
		.data = l->page + at + NODE_BYTES + key_len,
		.size = env_get(l->page + at, 4)};
	n->bytes = NODE_BYTES + key_len + key_len % 2;
	if (kind_of(l) == PAGE_BRANCH) {
		n->child = n->size | env_get(l->page + at + 4, 2) << 32;
		return true;
	}
	n->flags = (unsigned)env_get(l->page + at + 4, 2);
	held = n->flags & NODE_BIG ? 8 : (size_t)n->size;
	n->bytes = (NODE_BYTES + key_len + held + 1) & ~(size_t)1;
	return held <= page_bytes - at - NODE_BYTES - key_len && good_flags(w, n);
}

/*
 * Nodes stand one behind the other up to the end of the page: when LMDB takes one out it moves those before it by as
 * much as that one says of itself.
 */
static bool nodes_fill(const struct walk *w, const struct level *l)
{
	uint16_t bytes[PAGE_MAX / 2];
	size_t page_bytes = w->p->page_bytes;
	size_t at = l->upper;
	unsigned passed = 0;
	struct node n;

	memset(bytes, 0, page_bytes);
	for (unsigned i = 0; i < l->count; i++) {
		if (!get_node(w, l, i, &n))
			return false;
		bytes[node_at(l, i) / 2] = (uint16_t)n.bytes;
	}
	for (; at < page_bytes && bytes[at / 2]; passed++)
		at += bytes[at / 2];
	return at == page_bytes && passed == l->count;
}

static int compare(const struct walk *w, struct slice a, struct slice b)
{
	uint64_t x, y;

	if (!(w->tree->flags & TREE_INTEGERS))
		return slice_compare(a, b);
	x = a.len == sizeof(x) ? env_get(a.ptr, sizeof(x)) : 0;
	y = b.len == sizeof(y) ? env_get(b.ptr, sizeof(y)) : 0;
	return (x > y) - (x < y);
}

/* Keys ascend, over all pages; those between them say what is below them. */
static bool is_in_order(struct walk *w, struct slice key, bool leaf)
{
	int order = w->any ? compare(w, key, buf_slice(&w->last)) : 1;

	if (order < 0 || (order == 0 && (w->is_last || !leaf)))
		return false;
	buf_reset(&w->last);
	buf_add_slice(&w->last, key);
	w->is_last = leaf;
	w->any = true;
	return true;
}

/* ---- a walk ---- */

static int push(struct walk *w, uint64_t page)
{
	struct level *l;
	unsigned lower, upper;
	int ret;

	if (w->depth == DEPTH_MAX) {
		env_page_fault(w->p, page, "the tree is too deep");
		return 0;
	}
	l = &w->levels[w->depth];
	if (!l->page)
		l->page = malloc(w->p->page_bytes);
	if (!l->page)
		return -ENOMEM;
	ret = env_page_take(w->p, page, PAGE_BRANCH | PAGE_LEAF, l->page);
	if (ret <= 0)
		return ret;
	lower = (unsigned)env_get(l->page + HEAD_LOWER, 2);
	upper = (unsigned)env_get(l->page + HEAD_UPPER, 2);
	*l = (struct level){l->page, page, (lower - HEAD_BYTES) / 2, 0, upper};
	if (lower < HEAD_BYTES || lower % 2 || upper % 2 || lower > upper ||
		upper > w->p->page_bytes || !l->count)
		env_page_fault(w->p, page, "its head is damaged");
	else if (!nodes_fill(w, l))
		env_page_fault(w->p, page, "its entries are damaged");
	else if ((kind_of(l) == PAGE_LEAF) != (w->depth + 1 == w->tree->depth))
		env_page_fault(w->p, page, "it is as deep in its tree as it should not be");
	else
		w->depth++;
	return 0;
}

/* 1: value is there; 0: it is damaged. */
static int get_big(struct walk *w, const struct node *n, struct slice *value)
{
	uint64_t page = env_get(n->data, 8);
	uint64_t needed = (HEAD_BYTES - 1 + n->size) / w->p->page_bytes + 1;
	uint64_t count; /* a smaller value may have taken the place of a larger one */
	char head[HEAD_BYTES];
	int ret = env_page_take(w->p, page, PAGE_OVERFLOW, head);

	if (ret <= 0)
		return ret;
	count = env_get(head + HEAD_LOWER, 4);
	if (count < needed || count > w->p->last_page - page + 1) {
		env_page_fault(w->p, page, "its head is damaged");
		return 0;
	}
	for (uint64_t i = 1; i < count; i++)
		if (!env_page_mark(w->p, page + i)) {
			env_page_fault(w->p, page + i, "it is used twice");
			return 0;
		}
	if (!w->values)
		return 1;
	buf_reset(&w->big);
	if (!buf_reserve(&w->big, (size_t)n->size))
		return -ENOMEM;
	ret = env_page_read(w->p, w->big.ptr, (size_t)n->size,
		page * w->p->page_bytes + HEAD_BYTES);
	*value = slice_of(w->big.ptr, (size_t)n->size);
	if (ret == -ENODATA) {
		env_page_fault(w->p, page, "it is behind the end of the file");
		return 0;
	}
	return ret ? ret : 1;
}

static int take_row(struct walk *w, const struct level *l, const struct node *n)
{
	struct slice value = slice_of(n->data, (size_t)n->size);
	int ret = 1;

	if (!is_in_order(w, n->key, true)) {
		env_page_fault(w->p, l->number, "its keys are not in order");
		return 0;
	}
	w->entries++;
	if (n->flags & NODE_BIG)
		ret = get_big(w, n, &value);
	return ret > 0 && w->fn ? w->fn(w->context, n->key, value) : ret < 0 ? ret : 0;
}

static int step(struct walk *w)
{
	struct level *l = &w->levels[w->depth - 1];
	unsigned i = l->at++;
	struct node n;

	if (i == l->count) {
		w->depth--;
		return 0;
	}
	if (!get_node(w, l, i, &n)) {
		env_page_fault(w->p, l->number, "an entry of it is damaged");
		return 0;
	}
	if (kind_of(l) == PAGE_LEAF)
		return take_row(w, l, &n);
	/* the first key of a branch says nothing */
	if (i && !is_in_order(w, n.key, false)) {
		env_page_fault(w->p, l->number, "its keys are not in order");
		return 0;
	}
	return push(w, n.child);
}

static int walk(struct walk *w)
{
	size_t before = w->p->faults;
	bool empty = w->tree->root == NO_PAGE;
	int ret = empty ? 0 : push(w, w->tree->root);

	while (!ret && w->depth)
		ret = step(w);
	if (!ret)
		ret = buf_error(&w->last);
	if (!ret && w->p->faults == before &&
		(w->entries != w->tree->entries || empty != !w->tree->depth))
		env_page_fault(w->p, w->tree->root,
			"it has not the number of entries that is noted");
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		free(w->levels[i].page);
	buf_release(&w->last);
	buf_release(&w->big);
	return ret;
}

int env_tree_walk(struct env_pages *p, const struct env_tree *tree, bool values, env_row_fn *fn,
	void *context)
{
	struct walk w = {.p = p, .tree = tree, .values = values, .fn = fn, .context = context};

	return walk(&w);
}
