/* SPDX-License-Identifier: MIT */
#include "env_pages_private.h"
#include "pread_all.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t MAP_MAX = (uint64_t)1 << 46;

void env_page_fault(struct env_pages *p, uint64_t page, const char *what)
{
	char where[32];

	p->faults++;
	snprintf(where, sizeof(where), "page %" PRIu64, page);
	if (p->fault)
		p->fault(p->context, where, what);
}

/* ---- bytes ---- */

int env_page_read(const struct env_pages *p, void *to, size_t len, uint64_t offset)
{
	ssize_t n = pread_all(p->fd, to, len, offset);

	return n < 0 ? (int)n : (size_t)n < len ? -ENODATA : 0;
}

bool env_page_mark(struct env_pages *p, uint64_t page)
{
	unsigned char bit = (unsigned char)(1U << (page % 8));
	bool before = p->seen[page / 8] & bit;

	p->seen[page / 8] |= bit;
	return !before;
}

/* A page is of one kind; the other flags are LMDB's own, and never written. */
static bool is_one_of(uint64_t flags, unsigned kinds)
{
	return (flags & kinds) && !(flags & (flags - 1));
}

int env_page_take(struct env_pages *p, uint64_t page, unsigned kinds, char *to)
{
	int ret;

	if (page < 2 || page > p->last_page) {
		env_page_fault(p, page, "there is no such page");
		return 0;
	}
	ret = env_page_read(p, to, kinds == PAGE_OVERFLOW ? HEAD_BYTES : p->page_bytes,
		page * p->page_bytes);
	if (ret && ret != -ENODATA)
		return ret;
	if (ret)
		env_page_fault(p, page, "it is behind the end of the file");
	else if (env_get(to, 8) != page || !is_one_of(env_get(to + HEAD_FLAGS, 2), kinds))
		env_page_fault(p, page, "it is not what is to be there");
	else if (!env_page_mark(p, page))
		env_page_fault(p, page, "it is used twice");
	else
		return 1;
	return 0;
}

/* ---- the headers ---- */

static bool good_meta(const char *meta, uint64_t number)
{
	uint64_t page_bytes = env_get(meta + HEAD_BYTES + META_TREES, 4);

	return env_get(meta + HEAD_FLAGS, 2) == PAGE_META && env_get(meta, 8) == number &&
	       env_get(meta + HEAD_BYTES, 4) == (uint32_t)META_MAGIC &&
	       env_get(meta + HEAD_BYTES + 4, 4) == META_VERSION && page_bytes >= PAGE_MIN &&
	       page_bytes <= PAGE_MAX && !(page_bytes & (page_bytes - 1));
}

static uint64_t txn_of(const char *meta)
{
	return env_get(meta + HEAD_BYTES + META_TXN, 8);
}

static struct env_tree tree_at(const char *at)
{
	return (struct env_tree){.root = env_get(at + TREE_ROOT, 8),
		.entries = env_get(at + TREE_ENTRIES, 8),
		.flags = (unsigned)env_get(at + TREE_FLAGS, 2),
		.depth = (unsigned)env_get(at + TREE_DEPTH, 2)};
}

static void take_meta(struct env_pages *p, const char *meta)
{
	const char *trees = meta + HEAD_BYTES + META_TREES;

	p->page_bytes = (uint32_t)env_get(trees, 4);
	p->free = tree_at(trees);
	p->main = tree_at(trees + TREE_BYTES);
	p->last_page = env_get(meta + HEAD_BYTES + META_LAST, 8);
	p->map_bytes = env_get(meta + HEAD_BYTES + META_MAP, 8);
}

bool env_pages_unborn(int fd)
{
	struct env_pages p = {.fd = fd};
	char meta[HEAD_BYTES + META_BYTES];
	struct stat st;

	if (fstat(fd, &st) || env_page_read(&p, meta, sizeof(meta), 0) || !good_meta(meta, 0))
		return false;
	take_meta(&p, meta);
	return (uint64_t)st.st_size < 2 * (uint64_t)p.page_bytes && p.main.root == UINT64_MAX &&
	       txn_of(meta) == 0;
}

/*
 * A commit writes the header that its number says, and the other one is of the commit before. By a number that is not so
 * LMDB would take an older state for the last one, sound as that is.
 */
static bool follow(uint64_t even, uint64_t odd)
{
	return (!even && !odd) ||
	       (even % 2 == 0 && odd % 2 == 1 && (even + 1 == odd || odd + 1 == even));
}

static bool is_one_bit(uint64_t n)
{
	return n && !(n & (n - 1));
}

/* Of two that do not follow each other one is wrong, most likely by a bit: which is the later one without that? */
static bool is_odd_later(uint64_t even, uint64_t odd)
{
	bool even_later = is_one_bit(even ^ (odd + 1)) || is_one_bit(odd ^ (even - 1));
	bool odd_later = is_one_bit(odd ^ (even + 1)) || is_one_bit(even ^ (odd - 1));

	return follow(even, odd) || even_later == odd_later ? odd > even : odd_later;
}

/* The second header is a page behind the first, whose size is known from either. */
static int read_metas(struct env_pages *p, struct err *err)
{
	char metas[2][HEAD_BYTES + META_BYTES];
	bool good[2] = {false, false};
	int ret = env_page_read(p, metas[0], sizeof(metas[0]), 0);

	good[0] = !ret && good_meta(metas[0], 0);
	if (good[0])
		take_meta(p, metas[0]);
	for (uint32_t bytes = PAGE_MIN; bytes <= PAGE_MAX && !good[1] && (!ret || ret == -ENODATA);
		bytes *= 2) {
		if (good[0] && bytes != p->page_bytes)
			continue;
		ret = env_page_read(p, metas[1], sizeof(metas[1]), bytes);
		good[1] = !ret && good_meta(metas[1], 1) &&
			  env_get(metas[1] + HEAD_BYTES + META_TREES, 4) == bytes;
	}
	if (ret && ret != -ENODATA)
		return err_set(err, ret, "cannot read: %s", strerror(-ret));
	if (!good[0] && !good[1])
		return err_set(err, -EINVAL, "it is no LMDB file, or both its headers are damaged");
	if (!good[0] || (good[1] && is_odd_later(txn_of(metas[0]), txn_of(metas[1]))))
		take_meta(p, metas[1]);
	p->older = !good[0] || !good[1] || !follow(txn_of(metas[0]), txn_of(metas[1]));
	for (uint64_t i = 0; i < 2; i++)
		if (!good[i])
			env_page_fault(p, i, "the header is damaged");
	if (good[0] && good[1] && p->older)
		env_page_fault(p, 0, "the headers are not of one commit and the next");
	/* LMDB would map so much, at an address that is in the header, too */
	if (p->map_bytes > MAP_MAX || p->free.flags != TREE_INTEGERS || p->main.flags)
		env_page_fault(p, 0, "what the header says of the whole file is damaged");
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
		env_page_fault(p, p->last_page,
			"it is behind the end of the file, which is cut short");
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

/* ---- all of it ---- */

static void forget(struct env_pages *p)
{
	memset(p->seen, 0, p->last_page / 8 + 1);
}

/* A list of free pages: their number, then theirs. */
static int take_free(void *context, struct slice key, struct slice value)
{
	struct env_pages *p = context;
	uint64_t count = value.len < 8 ? 0 : env_get(value.ptr, 8);

	(void)key;
	if (value.len < 8 || count > value.len / 8 - 1) {
		env_page_fault(p, p->free.root, "a list of free pages is damaged");
		return 0;
	}
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t page = env_get(value.ptr + i * 8, 8);

		if (page == 0)
			continue;
		if (page >= 2 && page <= p->last_page && env_page_mark(p, page))
			continue;
		env_page_fault(p, page,
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

int env_pages_verify(struct env_pages *p, struct err *err)
{
	struct tables tables = {.count = 0};
	size_t before = p->faults;
	int ret;

	forget(p);
	ret = env_tree_walk(p, &p->main, false, take_table, &tables);
	p->lists_tables = p->faults == before;
	for (unsigned i = 0; i < tables.count && !ret; i++) {
		if (tables.trees[i].flags) /* none of ours has any */
			env_page_fault(p, p->main.root,
				"a table is of a kind that is not used here");
		ret = env_tree_walk(p, &tables.trees[i], false, NULL, NULL);
	}
	/* last: by then it is known what is in use */
	if (!ret)
		ret = env_tree_walk(p, &p->free, true, take_free, p);
	return ret ? err_set(err, ret, "cannot read: %s", strerror(-ret)) : 0;
}

int env_pages_has(struct env_pages *p, const char *table, bool *has, struct err *err)
{
	struct tables tables = {.count = 0};
	int ret;

	forget(p);
	*has = false;
	ret = env_tree_walk(p, &p->main, false, take_table, &tables);
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
	ret = env_tree_walk(p, &p->main, false, take_table, &tables);
	for (unsigned i = 0; i < tables.count && !ret; i++)
		if (strcmp(tables.names[i], table) == 0)
			ret = env_tree_walk(p, &tables.trees[i], true, fn, context);
	return ret && err && !err->code ? err_set(err, ret, "cannot read: %s", strerror(-ret))
					: ret;
}
