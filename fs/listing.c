/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "control.h"
#include "stores.h"
#include "view.h"

/* ---- packing: in the order of names ---- */

enum { RUN = 16 };

/* As it is packed, with the rest of the name behind it. */
struct packed {
	uint64_t ino;
	uint8_t type;
	bool json;      /* that much of the name is not there */
	uint8_t shared; /* of the name before */
	uint8_t rest;
} __attribute__((packed));

static const struct slice JSON = {".json", 5};

struct packing {
	struct listing *listing;
	size_t runs_cap;
	char before[UINT8_MAX]; /* the last name, without its .json */
	uint8_t before_len;
};

static int begin_run(struct packing *packing)
{
	struct listing *listing = packing->listing;
	size_t run = listing->count / RUN;

	if (run == packing->runs_cap) {
		size_t cap = run ? run * 2 : 16;
		size_t *runs = reallocarray(listing->runs, cap, sizeof(*runs));

		if (!runs)
			return -ENOMEM;
		listing->runs = runs;
		packing->runs_cap = cap;
	}
	listing->runs[run] = listing->packed.len;
	packing->before_len = 0;
	return 0;
}

static int pack(struct packing *packing, struct slice name, unsigned char type, uint64_t ino)
{
	struct listing *listing = packing->listing;
	bool json = slice_ends(name, JSON);
	struct slice stem = slice_of(name.ptr, name.len - (json ? JSON.len : 0));
	struct packed packed = {.ino = ino, .type = type, .json = json};
	uint8_t shared = 0;

	if (name.len > UINT8_MAX)
		return -EOVERFLOW;
	if (listing->count % RUN == 0 && begin_run(packing))
		return -ENOMEM;
	while (shared < stem.len && shared < packing->before_len &&
		stem.ptr[shared] == packing->before[shared])
		shared++;
	packed.shared = shared;
	packed.rest = (uint8_t)(stem.len - shared);
	buf_add(&listing->packed, &packed, sizeof(packed));
	buf_add(&listing->packed, stem.ptr + shared, packed.rest);
	memcpy(packing->before + shared, stem.ptr + shared, packed.rest);
	packing->before_len = (uint8_t)stem.len;
	listing->count++;
	return buf_error(&listing->packed);
}

/* ---- collecting: all but the memory's names, which come in order ---- */

struct found {
	uint32_t name; /* offset in names */
	uint8_t name_len;
	uint8_t type;
	uint64_t ino;
};

struct collect {
	struct fs *fs;
	struct slice directory;
	bool root;
	struct buf names;
	struct found *found;
	size_t count;
	size_t capacity;
	size_t packed; /* so many of them */
	struct packing packing;
};

static int add(struct collect *collect, struct slice name, unsigned char type, uint64_t ino)
{
	if (collect->count == collect->capacity) {
		size_t capacity = collect->capacity ? collect->capacity * 2 : 64;
		struct found *grown = realloc(collect->found, capacity * sizeof(*collect->found));

		if (!grown)
			return -ENOMEM;
		collect->found = grown;
		collect->capacity = capacity;
	}
	if (name.len > UINT8_MAX || collect->names.len > UINT32_MAX - name.len)
		return -EOVERFLOW;
	collect->found[collect->count++] = (struct found){
		.name = (uint32_t)collect->names.len,
		.name_len = (uint8_t)name.len,
		.type = type,
		.ino = ino,
	};
	buf_add_slice(&collect->names, name);
	return buf_error(&collect->names);
}

static unsigned char type_of(enum memory_kind kind)
{
	return kind == MEMORY_DIRECTORY ? DT_DIR : DT_REG;
}

static int add_from_store(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	return add(context, name, type_of(kind), ino);
}

static int add_from_scratch(void *context, struct slice name, unsigned char type, uint64_t ino)
{
	struct collect *collect = context;

	if (collect->root && view_is_reserved(name))
		return 0;
	return add(collect, name, type, ino);
}

/* Files that are open for their first save. */
static int add_created(struct collect *collect, const struct node *directory)
{
	struct fs *fs = collect->fs;
	struct document *document;
	size_t i;
	int ret = 0;

	pthread_mutex_lock(&fs->lock);
	for (i = 0; i < fs->documents.bucket_count && !ret; i++)
		for (document = fs->documents.buckets[i]; document && !ret;
			document = document->next)
			if (document_is_seen(document) && !document->on_disk &&
				document->parent == directory)
				ret = add(collect, slice_of(document->name, document->name_len),
					DT_REG, document->ino);
	pthread_mutex_unlock(&fs->lock);
	return ret;
}

static int add_controls(struct collect *collect)
{
	unsigned i;
	int ret = 0;

	for (i = 0; control_name(i) && !ret; i++)
		ret = add(collect, slice_str(control_name(i)), DT_REG, i + 1);
	if (!ret)
		ret = add(collect, slice_str(".rejected"), DT_DIR, i + 1);
	if (!ret)
		ret = add(collect, slice_str(".conflicts"), DT_DIR, i + 2);
	if (!ret)
		ret = add(collect, slice_str(".store"), DT_DIR, stores_ino(slice_str(".store")));
	return ret;
}

static struct slice name_of(const char *names, const struct found *found)
{
	return slice_of(names + found->name, found->name_len);
}

static int compare(const void *a, const void *b, void *names)
{
	const struct found *x = a;
	const struct found *y = b;
	int order = slice_compare(name_of(names, x), name_of(names, y));

	/* Of the same name: what was added last comes first, and is kept. */
	return order ? order : (x->name < y->name) - (x->name > y->name);
}

static void sort_and_unite(struct collect *collect)
{
	struct found *found = collect->found;
	size_t kept = 0;
	size_t i;

	if (!collect->count)
		return;
	qsort_r(found, collect->count, sizeof(*found), compare, collect->names.ptr);
	for (i = 1; i < collect->count; i++)
		if (!slice_equal(name_of(collect->names.ptr, &found[kept]),
			    name_of(collect->names.ptr, &found[i])))
			found[++kept] = found[i];
	collect->count = kept + 1;
}

/* ---- both together ---- */

/* Those before name (NULL: all), but not the one that is called so, too. */
static int pack_before(struct collect *collect, const struct slice *name)
{
	int ret = 0;

	while (!ret && collect->packed < collect->count) {
		const struct found *next = &collect->found[collect->packed];
		struct slice other = name_of(collect->names.ptr, next);
		int order = name ? slice_compare(other, *name) : -1;

		if (order > 0)
			break;
		if (order < 0)
			ret = pack(&collect->packing, other, next->type, next->ino);
		collect->packed++;
	}
	return ret;
}

static int pack_from_memory(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	struct collect *collect = context;
	int ret = pack_before(collect, &name);

	return ret ? ret : pack(&collect->packing, name, type_of(kind), ino);
}

static bool is_absent(int ret)
{
	return ret == -ENOENT || ret == -ENOTDIR || ret == -EINVAL;
}

/*
 * A name goes from a file being made to an empty one and on to the memory, never back: listed in
 * that order, it can be met twice but not missed.
 */
static int fill(struct collect *collect, const struct node *directory)
{
	struct fs *fs = collect->fs;
	struct scratch *tree;
	struct slice rel;
	bool of_memory;
	int ret;

	(void)view_is_scratch(fs, collect->directory, &tree, &rel);
	of_memory = tree == &fs->trees[TREE_SCRATCH] && !view_below_dot(collect->directory);
	ret = add_created(collect, directory);
	if (!ret && collect->root && fs->options->control_listed)
		ret = add_controls(collect);
	if (!ret)
		ret = scratch_list(tree, rel, add_from_scratch, collect);
	if (ret && !is_absent(ret))
		return ret;
	sort_and_unite(collect);
	ret = of_memory ? memory_list(fs->memory, collect->directory, pack_from_memory, collect)
			: 0;
	return is_absent(ret) ? 0 : ret;
}

static int fill_from_store(struct collect *collect)
{
	int ret = stores_list(collect->fs, collect->directory, add_from_store, collect);

	sort_and_unite(collect);
	return ret;
}

/* ---- asking ---- */

/* The one behind the last, whose name it goes on from. */
static void unpack_next(struct listing *listing)
{
	struct listing_entry *entry = &listing->entry;
	const char *from = listing->packed.ptr + listing->behind;
	struct packed packed;
	size_t stem;

	memcpy(&packed, from, sizeof(packed));
	stem = (size_t)packed.shared + packed.rest;
	memcpy(entry->name + packed.shared, from + sizeof(packed), packed.rest);
	if (packed.json)
		memcpy(entry->name + stem, JSON.ptr, JSON.len);
	entry->name_len = (uint8_t)(stem + (packed.json ? JSON.len : 0));
	entry->name[entry->name_len] = '\0';
	entry->ino = packed.ino;
	entry->type = packed.type;
	listing->behind += sizeof(packed) + packed.rest;
}

const struct listing_entry *listing_at(struct listing *listing, size_t index)
{
	size_t at = listing->index;

	if (at != index) {
		if (at + 1 != index || index % RUN == 0) {
			listing->behind = listing->runs[index / RUN];
			at = index - index % RUN - 1;
		}
		for (; at != index; at++)
			unpack_next(listing);
		listing->index = index;
	}
	return &listing->entry;
}

int listing_new(struct listing **out, struct fs *fs, const struct node *directory)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	struct buf path = BUF_INIT;
	struct collect collect = {
		.fs = fs, .root = directory == fs->nodes.root, .packing.listing = listing};
	int ret = listing ? fs_path(fs, directory, NULL, &path) : -ENOMEM;

	collect.directory = buf_slice(&path);
	if (!ret)
		ret = stores_have(collect.directory) ? fill_from_store(&collect)
						     : fill(&collect, directory);
	if (!ret)
		ret = pack_before(&collect, NULL);
	if (!ret) {
		listing->index = SIZE_MAX;
		*out = listing;
	} else {
		listing_free(listing);
	}
	buf_release(&collect.names);
	free(collect.found);
	buf_release(&path);
	return ret;
}

void listing_free(struct listing *listing)
{
	if (!listing)
		return;
	buf_release(&listing->packed);
	free(listing->runs);
	free(listing);
}
