/* SPDX-License-Identifier: MIT */
#include "env_pages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As LMDB 0.9 lays it out: struct MDB_page, MDB_meta, MDB_db, MDB_node of its mdb.c. */
enum {
	META_MAGIC = (int)0xBEEFC0DE,
	META_VERSION = 1,
	META_BYTES = 136,
	META_MAP = 16,   /* how much LMDB is to map */
	META_TREES = 24, /* two of them, the free pages' first; its first word is the page size */
	META_LAST = 120,
	META_TXN = 128,
	TREE_BYTES = 48,
	TREE_FLAGS = 4,
	TREE_DEPTH = 6,
	TREE_ENTRIES = 32,
	TREE_ROOT = 40,
	HEAD_BYTES = 16, /* of a page */
	HEAD_FLAGS = 10,
	HEAD_LOWER = 12,
	HEAD_UPPER = 14,
	NODE_BYTES = 8,
	PAGE_MIN = 512,
	PAGE_MAX = 32768,
	DEPTH_MAX = 32,
	KEY_MAX = 511,
	PAGE_BRANCH = 1,
	PAGE_LEAF = 2,
	PAGE_OVERFLOW = 4,
	PAGE_META = 8,
	PAGE_KIND = 0x7f,
	NODE_BIG = 1, /* the value stands on pages of its own */
	NODE_TREE = 2,
	TREE_INTEGERS = 8, /* keys are numbers of the machine's */
};

static const uint64_t MAP_MAX = (uint64_t)1 << 46;

static const uint64_t NO_PAGE = UINT64_MAX;

static uint64_t get(const char *at, size_t bytes)
{
	uint64_t n = 0;

	memcpy(&n, at, bytes); /* little endian, as x86-64 and arm64 are, and LMDB's file of them */
	return n;
}

static void fault(struct env_pages *p, uint64_t page, const char *what)
{
	char where[32];

	p->faults++;
	snprintf(where, sizeof(where), "page %" PRIu64, page);
	if (p->fault)
		p->fault(p->context, where, what);
}

/* ---- bytes ---- */

static int read_at(const struct env_pages *p, void *to, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(p->fd, (char *)to + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ENODATA;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

static bool mark(struct env_pages *p, uint64_t page)
{
	unsigned char bit = (unsigned char)(1U << (page % 8));
	bool before = p->seen[page / 8] & bit;

	p->seen[page / 8] |= bit;
	return !before;
}

/* A page that is linked to: in the file, of the wanted kind, and linked to once. 1, 0 (a fault), negative. */
static int take_page(struct env_pages *p, uint64_t page, unsigned kinds, char *to)
{
	int ret;

	if (page < 2 || page > p->last_page) {
		fault(p, page, "there is no such page");
		return 0;
	}
	ret = read_at(p, to, kinds == PAGE_OVERFLOW ? HEAD_BYTES : p->page_bytes,
		page * p->page_bytes);
	if (ret && ret != -ENODATA)
		return ret;
	if (ret)
		fault(p, page, "it is behind the end of the file");
	else if (get(to, 8) != page || !(get(to + HEAD_FLAGS, 2) & kinds))
		fault(p, page, "it is not what is to be there");
	else if (!mark(p, page))
		fault(p, page, "it is used twice");
	else
		return 1;
	return 0;
}

/* ---- the headers ---- */

static bool good_meta(const char *meta, uint64_t number)
{
	uint64_t page_bytes = get(meta + HEAD_BYTES + META_TREES, 4);

	return (get(meta + HEAD_FLAGS, 2) & PAGE_META) && get(meta, 8) == number &&
	       get(meta + HEAD_BYTES, 4) == (uint32_t)META_MAGIC &&
	       get(meta + HEAD_BYTES + 4, 4) == META_VERSION && page_bytes >= PAGE_MIN &&
	       page_bytes <= PAGE_MAX && !(page_bytes & (page_bytes - 1));
}

static struct env_tree tree_at(const char *at)
{
	return (struct env_tree){.root = get(at + TREE_ROOT, 8),
		.entries = get(at + TREE_ENTRIES, 8),
		.flags = (unsigned)get(at + TREE_FLAGS, 2),
		.depth = (unsigned)get(at + TREE_DEPTH, 2)};
}

static void take_meta(struct env_pages *p, const char *meta)
{
	const char *trees = meta + HEAD_BYTES + META_TREES;

	p->page_bytes = (uint32_t)get(trees, 4);
	p->free = tree_at(trees);
	p->main = tree_at(trees + TREE_BYTES);
	p->last_page = get(meta + HEAD_BYTES + META_LAST, 8);
	p->map_bytes = get(meta + HEAD_BYTES + META_MAP, 8);
}

/* The second header is a page behind the first, whose size is known from either. */
static int read_metas(struct env_pages *p, struct err *err)
{
	char metas[2][HEAD_BYTES + META_BYTES];
	bool good[2] = {false, false};
	int ret = read_at(p, metas[0], sizeof(metas[0]), 0);

	good[0] = !ret && good_meta(metas[0], 0);
	if (good[0])
		take_meta(p, metas[0]);
	for (uint32_t bytes = PAGE_MIN; bytes <= PAGE_MAX && !good[1] && (!ret || ret == -ENODATA);
		bytes *= 2) {
		if (good[0] && bytes != p->page_bytes)
			continue;
		ret = read_at(p, metas[1], sizeof(metas[1]), bytes);
		good[1] = !ret && good_meta(metas[1], 1) &&
			  get(metas[1] + HEAD_BYTES + META_TREES, 4) == bytes;
	}
	if (ret && ret != -ENODATA)
		return err_set(err, ret, "cannot read: %s", strerror(-ret));
	if (!good[0] && !good[1])
		return err_set(err, -EINVAL, "it is no LMDB file, or both its headers are damaged");
	if (!good[0] || (good[1] && get(metas[1] + HEAD_BYTES + META_TXN, 8) >
					    get(metas[0] + HEAD_BYTES + META_TXN, 8)))
		take_meta(p, metas[1]);
	for (uint64_t i = 0; i < 2; i++)
		if (!good[i])
			fault(p, i, "the header is damaged");
	/* LMDB would map so much, at an address that is in the header, too */
	if (p->map_bytes > MAP_MAX || p->free.flags != TREE_INTEGERS || p->main.flags)
		fault(p, 0, "what the header says of the whole file is damaged");
	return 0;
}

int env_pages_open(struct env_pages *p, int fd, env_fault_fn *fn, void *context, struct err *err)
{
	struct stat st;
	int ret;

	*p = (struct env_pages){.fd = fd, .fault = fn, .context = context};
	if (fstat(fd, &st))
		return err_set(err, -errno, "cannot look at it: %s", strerror(errno));
	ret = read_metas(p, err);
	if (ret)
		return ret;
	if ((uint64_t)st.st_size / p->page_bytes <= p->last_page) {
		fault(p, p->last_page, "it is behind the end of the file, which is cut short");
		p->last_page = (uint64_t)st.st_size / p->page_bytes;
		p->last_page -= p->last_page ? 1 : 0;
	}
	p->seen = calloc(p->last_page / 8 + 1, 1);
	return p->seen ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void env_pages_release(struct env_pages *p)
{
	free(p->seen);
	p->seen = NULL;
}

/* ---- nodes ---- */

struct level {
	char *page;
	uint64_t number;
	unsigned count, at;
};

/* A walk through one tree, from leaf to leaf. */
struct walk {
	struct env_pages *p;
	const struct env_tree *tree;
	const char *table; /* of the main tree: the rows of this tree alone; see find_tree */
	bool values;       /* are looked at, and told */
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
};

static unsigned kind_of(const struct level *l)
{
	return (unsigned)get(l->page + HEAD_FLAGS, 2) & PAGE_KIND;
}

static bool get_node(const struct walk *w, const struct level *l, unsigned i, struct node *n)
{
	size_t at = (size_t)get(l->page + HEAD_BYTES + 2 * (size_t)i, 2);
	size_t page_bytes = w->p->page_bytes;
	size_t key_len, held;

	if (at < HEAD_BYTES || at + NODE_BYTES > page_bytes)
		return false;
	key_len = (size_t)get(l->page + at + 6, 2);
	if (key_len > page_bytes - at - NODE_BYTES || key_len > KEY_MAX ||
		(!key_len && kind_of(l) == PAGE_LEAF))
		return false;
	*n = (struct node){.key = slice_of(l->page + at + NODE_BYTES, key_len),
		.data = l->page + at + NODE_BYTES + key_len,
		.size = get(l->page + at, 4)};
	if (kind_of(l) == PAGE_BRANCH) {
		n->child = n->size | get(l->page + at + 4, 2) << 32;
		return true;
	}
	n->flags = (unsigned)get(l->page + at + 4, 2);
	held = n->flags & NODE_BIG ? 8 : (size_t)n->size;
	return held <= page_bytes - at - NODE_BYTES - key_len &&
	       (!(n->flags & NODE_TREE) || n->size == TREE_BYTES);
}

static int compare(const struct walk *w, struct slice a, struct slice b)
{
	uint64_t x, y;

	if (!(w->tree->flags & TREE_INTEGERS))
		return slice_compare(a, b);
	x = a.len == sizeof(x) ? get(a.ptr, sizeof(x)) : 0;
	y = b.len == sizeof(y) ? get(b.ptr, sizeof(y)) : 0;
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
		fault(w->p, page, "the tree is too deep");
		return 0;
	}
	l = &w->levels[w->depth];
	if (!l->page)
		l->page = malloc(w->p->page_bytes);
	if (!l->page)
		return -ENOMEM;
	ret = take_page(w->p, page, PAGE_BRANCH | PAGE_LEAF, l->page);
	if (ret <= 0)
		return ret;
	lower = (unsigned)get(l->page + HEAD_LOWER, 2);
	upper = (unsigned)get(l->page + HEAD_UPPER, 2);
	*l = (struct level){l->page, page, (lower - HEAD_BYTES) / 2, 0};
	if (lower < HEAD_BYTES || lower > upper || upper > w->p->page_bytes || !l->count ||
		(kind_of(l) != PAGE_BRANCH && kind_of(l) != PAGE_LEAF))
		fault(w->p, page, "its head is damaged");
	else if ((kind_of(l) == PAGE_LEAF) != (w->depth + 1 == w->tree->depth))
		fault(w->p, page, "it is as deep in its tree as it should not be");
	else
		w->depth++;
	return 0;
}

/* 1: value is there; 0: it is damaged. */
static int get_big(struct walk *w, const struct node *n, struct slice *value)
{
	uint64_t page = get(n->data, 8);
	uint64_t count = (HEAD_BYTES - 1 + n->size) / w->p->page_bytes + 1;
	char head[HEAD_BYTES];
	int ret = take_page(w->p, page, PAGE_OVERFLOW, head);

	if (ret <= 0)
		return ret;
	if (get(head + HEAD_LOWER, 4) < count || count > w->p->last_page - page + 1) {
		fault(w->p, page, "its head is damaged");
		return 0;
	}
	for (uint64_t i = 1; i < count; i++)
		if (!mark(w->p, page + i)) {
			fault(w->p, page + i, "it is used twice");
			return 0;
		}
	if (!w->values)
		return 1;
	buf_reset(&w->big);
	if (!buf_reserve(&w->big, (size_t)n->size))
		return -ENOMEM;
	ret = read_at(w->p, w->big.ptr, (size_t)n->size, page * w->p->page_bytes + HEAD_BYTES);
	*value = slice_of(w->big.ptr, (size_t)n->size);
	if (ret == -ENODATA) {
		fault(w->p, page, "it is behind the end of the file");
		return 0;
	}
	return ret ? ret : 1;
}

static int take_row(struct walk *w, const struct level *l, const struct node *n)
{
	struct slice value = slice_of(n->data, (size_t)n->size);
	int ret = 1;

	if (!is_in_order(w, n->key, true)) {
		fault(w->p, l->number, "its keys are not in order");
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
		fault(w->p, l->number, "an entry of it is damaged");
		return 0;
	}
	if (kind_of(l) == PAGE_LEAF)
		return take_row(w, l, &n);
	/* the first key of a branch says nothing */
	if (i && !is_in_order(w, n.key, false)) {
		fault(w->p, l->number, "its keys are not in order");
		return 0;
	}
	return push(w, n.child);
}

static int walk(struct walk *w)
{
	size_t before = w->p->faults;
	int ret = w->tree->root == NO_PAGE ? 0 : push(w, w->tree->root);

	while (!ret && w->depth)
		ret = step(w);
	if (!ret)
		ret = buf_error(&w->last);
	if (!ret && w->p->faults == before && w->entries != w->tree->entries)
		fault(w->p, w->tree->root, "it has not the number of entries that is noted");
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		free(w->levels[i].page);
	buf_release(&w->last);
	buf_release(&w->big);
	return ret;
}

/* ---- all of it ---- */

static void forget(struct env_pages *p)
{
	memset(p->seen, 0, p->last_page / 8 + 1);
}

/* A list of free pages: their number, then theirs. */
static int take_free(void *context, struct slice key, struct slice value)
{
	struct env_pages *p = context;
	uint64_t count = value.len < 8 ? 0 : get(value.ptr, 8);

	(void)key;
	if (value.len < 8 || count > value.len / 8 - 1) {
		fault(p, p->free.root, "a list of free pages is damaged");
		return 0;
	}
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t page = get(value.ptr + i * 8, 8);

		if (page == 0)
			continue;
		if (page >= 2 && page <= p->last_page && mark(p, page))
			continue;
		fault(p, page,
			page < 2 || page > p->last_page ? "it is said to be free, and is not there"
							: "it is said to be free, and is used");
		break; /* the rest of the list is worth nothing */
	}
	return 0;
}

/* The trees of the named tables, as the main one lists them. */
struct tables {
	struct env_tree trees[16];
	char names[16][32];
	unsigned count;
};

static int take_table(void *context, struct slice key, struct slice value)
{
	struct tables *t = context;

	if (value.len != TREE_BYTES || key.len >= sizeof(t->names[0]) || t->count == 16)
		return 0;
	memcpy(t->names[t->count], key.ptr, key.len);
	t->names[t->count][key.len] = '\0';
	t->trees[t->count++] = tree_at(value.ptr);
	return 0;
}

static int walk_tree(struct env_pages *p, const struct env_tree *tree, bool values, env_row_fn *fn,
	void *context)
{
	struct walk w = {.p = p, .tree = tree, .values = values, .fn = fn, .context = context};

	return walk(&w);
}

int env_pages_verify(struct env_pages *p, struct err *err)
{
	struct tables tables = {.count = 0};
	size_t before = p->faults;
	int ret;

	forget(p);
	ret = walk_tree(p, &p->main, false, take_table, &tables);
	p->lists_tables = p->faults == before;
	for (unsigned i = 0; i < tables.count && !ret; i++) {
		if (tables.trees[i].flags) /* none of ours has any */
			fault(p, p->main.root, "a table is of a kind that is not used here");
		ret = walk_tree(p, &tables.trees[i], false, NULL, NULL);
	}
	/* last: by then it is known what is in use */
	if (!ret)
		ret = walk_tree(p, &p->free, true, take_free, p);
	return ret ? err_set(err, ret, "cannot read: %s", strerror(-ret)) : 0;
}

int env_pages_has(struct env_pages *p, const char *table, bool *has, struct err *err)
{
	struct tables tables = {.count = 0};
	int ret;

	forget(p);
	*has = false;
	ret = walk_tree(p, &p->main, false, take_table, &tables);
	for (unsigned i = 0; i < tables.count; i++)
		*has |= strcmp(tables.names[i], table) == 0;
	return ret ? err_set(err, ret, "cannot read: %s", strerror(-ret)) : 0;
}

int env_pages_each(struct env_pages *p, const char *table, env_row_fn *fn, void *context,
	struct err *err)
{
	struct tables tables = {.count = 0};
	int ret;

	forget(p);
	ret = walk_tree(p, &p->main, false, take_table, &tables);
	for (unsigned i = 0; i < tables.count && !ret; i++)
		if (strcmp(tables.names[i], table) == 0)
			ret = walk_tree(p, &tables.trees[i], true, fn, context);
	return ret && err && !err->code ? err_set(err, ret, "cannot read: %s", strerror(-ret))
					: ret;
}
