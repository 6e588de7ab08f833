/* SPDX-License-Identifier: MIT */
#include "stores.h"

#include <errno.h>

#include "hash.h"
#include "memory_stores.h"

#define ROOT ".store"
static const char *const NAMES[] = {[MEMORY_STORE_EDN] = "edn", [MEMORY_STORE_EAV] = "datalevin"};
enum { STORE_COUNT = sizeof(NAMES) / sizeof(NAMES[0]) };

static const uint64_t STORE_INO = (uint64_t)1 << 60; /* with none of the bits above: see view.c */

uint64_t stores_ino(struct slice path)
{
	return hash64(path.ptr, path.len, STORE_INO) >> 4 | STORE_INO;
}

bool stores_have(struct slice path)
{
	struct slice root = SLICE_LITERAL(ROOT);

	return slice_starts(path, root) && (path.len == root.len || path.ptr[root.len] == '/');
}

/* Which store, and where in it: 0, 1 for what stands above both, -ENOENT. */
static int parse(struct slice path, enum memory_store *store, struct slice *rest)
{
	size_t at = sizeof(ROOT); /* behind the slash */
	const char *slash;
	struct slice name;

	if (path.len < at)
		return 1;
	name = slice_of(path.ptr + at, path.len - at);
	slash = name.len ? memchr(name.ptr, '/', name.len) : NULL;
	*rest = slice_of(name.ptr + name.len, 0);
	if (slash) {
		*rest = slice_of(slash + 1, name.len - (size_t)(slash - name.ptr) - 1);
		name.len = (size_t)(slash - name.ptr);
	}
	for (unsigned i = 0; i < STORE_COUNT; i++) {
		if (!slice_equal(name, slice_str(NAMES[i])))
			continue;
		*store = (enum memory_store)i;
		return 0;
	}
	return -ENOENT;
}

int stores_find(struct fs *fs, struct slice path, struct view *view)
{
	enum memory_store store;
	struct memory_stat found;
	struct slice rest = SLICE_LITERAL("");
	int ret = parse(path, &store, &rest);

	if (ret < 0)
		return ret;
	/* these are there whatever is in them, and need no look */
	ret = rest.len ? memory_store_stat(fs->memory, store, rest, &found)
		       : memory_stat(fs->memory, rest, &found);
	if (ret)
		return ret;
	view->kind = found.kind == MEMORY_DIRECTORY ? VIEW_DIRECTORY : VIEW_STORE;
	view_document_stat(fs, &found, &view->st);
	view->st.st_ino = stores_ino(path);
	return 0;
}

double stores_entry_timeout_s(struct slice path, const struct view *view)
{
	enum memory_store store;
	struct slice rest = SLICE_LITERAL("");

	if (parse(path, &store, &rest) >= 0 && !rest.len)
		return VIEW_LONG_S;
	/* on the way to every file below */
	return view->kind == VIEW_DIRECTORY ? 1 : 0;
}

int stores_read(struct fs *fs, struct slice path, struct buf *bytes)
{
	enum memory_store store;
	struct slice rest;
	int ret = parse(path, &store, &rest);

	if (ret)
		return ret < 0 ? ret : -EISDIR;
	return memory_store_read(fs->memory, store, rest, bytes);
}

/* ---- listing ---- */

struct listed {
	struct slice directory;
	memory_list_fn *fn;
	void *context;
};

static int add(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	struct listed *listed = context;
	struct buf path = BUF_INIT;
	int ret;

	buf_add_slice(&path, listed->directory);
	buf_add_char(&path, '/');
	buf_add_slice(&path, name);
	ret = buf_error(&path);
	ino = ret ? 0 : stores_ino(buf_slice(&path));
	buf_release(&path);
	return ret ? ret : listed->fn(listed->context, name, kind, ino);
}

/* What is only an errno to a program: the reason in /.errors. */
static void explain(struct fs *fs, struct slice path, int ret)
{
	if (ret == -ENODEV)
		refusals_log(fs->refusals, path, "the mode keeps the EAV store closed");
	else if (ret == -EIO)
		refusals_log(fs->refusals, path, "the store can't be read");
	else if (ret == -EFBIG)
		refusals_log(fs->refusals, path, "larger than doc_max allows");
}

int stores_list(struct fs *fs, struct slice path, memory_list_fn *fn, void *context)
{
	struct listed listed = {path, fn, context};
	enum memory_store store;
	struct slice rest;
	int ret = parse(path, &store, &rest);

	if (ret == 1) {
		ret = 0;
		for (unsigned i = 0; i < STORE_COUNT && !ret; i++)
			ret = add(&listed, slice_str(NAMES[i]), MEMORY_DIRECTORY, 0);
	} else if (!ret) {
		ret = memory_store_list(fs->memory, store, rest, add, &listed);
		explain(fs, path, ret);
	}
	return ret;
}
