/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "control.h"
#include "stores.h"
#include "view.h"

/* ---- collecting ---- */

struct found {
	uint32_t name; /* offset in names; NUL-terminated */
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
	if (name.len > UINT8_MAX || collect->names.len > UINT32_MAX - name.len - 1)
		return -EOVERFLOW;
	collect->found[collect->count++] = (struct found){
		.name = (uint32_t)collect->names.len,
		.name_len = (uint8_t)name.len,
		.type = type,
		.ino = ino,
	};
	buf_add_slice(&collect->names, name);
	buf_add_char(&collect->names, '\0');
	return buf_error(&collect->names);
}

static int add_from_memory(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	return add(context, name, kind == MEMORY_DIRECTORY ? DT_DIR : DT_REG, ino);
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
			if (document->created && !document->on_disk &&
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

static int compare(const void *a, const void *b, void *names)
{
	const struct found *x = a;
	const struct found *y = b;
	const char *text = names;
	int order = strcmp(text + x->name, text + y->name);

	/* Of the same name: what was added last comes first, and is kept. */
	return order ? order : (x->name < y->name) - (x->name > y->name);
}

static const char *name_of(const struct collect *collect, size_t at)
{
	return collect->names.ptr + collect->found[at].name;
}

static void sort_and_unite(struct collect *collect)
{
	size_t kept = 0;
	size_t i;

	if (!collect->count)
		return;
	qsort_r(collect->found, collect->count, sizeof(*collect->found), compare,
		collect->names.ptr);
	for (i = 1; i < collect->count; i++)
		if (strcmp(name_of(collect, kept), name_of(collect, i)) != 0)
			collect->found[++kept] = collect->found[i];
	collect->count = kept + 1;
}

static bool is_absent(int ret)
{
	return ret == -ENOENT || ret == -ENOTDIR || ret == -EINVAL;
}

static int fill(struct collect *collect, const struct node *directory)
{
	struct fs *fs = collect->fs;
	struct scratch *tree;
	struct slice rel;
	int ret = 0;

	if (stores_have(collect->directory))
		return stores_list(fs, collect->directory, add_from_memory, collect);
	(void)view_is_scratch(fs, collect->directory, &tree, &rel);
	/*
	 * A name goes from a file being made to an empty one and on to the memory, never back: listed in
	 * that order, it can be met twice but not missed.
	 */
	ret = add_created(collect, directory);
	if (!ret)
		ret = scratch_list(tree, rel, add_from_scratch, collect);
	if ((!ret || is_absent(ret)) && tree == &fs->trees[TREE_SCRATCH] &&
		!view_below_dot(collect->directory))
		ret = memory_list(fs->memory, collect->directory, add_from_memory, collect);
	if (is_absent(ret))
		ret = 0;
	if (!ret && collect->root && fs->options->control_listed)
		ret = add_controls(collect);
	return ret;
}

/* ---- packing ---- */

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

static struct slice stem_of(const struct collect *collect, size_t at)
{
	struct slice name = slice_of(name_of(collect, at), collect->found[at].name_len);

	return slice_ends(name, JSON) ? slice_of(name.ptr, name.len - JSON.len) : name;
}

static void pack_one(struct listing *listing, const struct collect *collect, size_t at)
{
	struct slice before = at % RUN ? stem_of(collect, at - 1) : slice_of("", 0);
	struct slice stem = stem_of(collect, at);
	struct packed packed = {.ino = collect->found[at].ino,
		.type = collect->found[at].type,
		.json = stem.len < collect->found[at].name_len};
	uint8_t shared = 0;

	while (shared < stem.len && shared < before.len && stem.ptr[shared] == before.ptr[shared])
		shared++;
	packed.shared = shared;
	packed.rest = (uint8_t)(stem.len - shared);
	if (at % RUN == 0)
		listing->runs[at / RUN] = listing->packed.len;
	buf_add(&listing->packed, &packed, sizeof(packed));
	buf_add(&listing->packed, stem.ptr + shared, packed.rest);
}

static int pack(struct listing *listing, const struct collect *collect)
{
	size_t i;

	listing->runs = malloc((collect->count / RUN + 1) * sizeof(*listing->runs));
	if (!listing->runs)
		return -ENOMEM;
	for (i = 0; i < collect->count; i++)
		pack_one(listing, collect, i);
	listing->count = collect->count;
	listing->index = SIZE_MAX;
	return buf_error(&listing->packed);
}

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
	struct collect collect = {.fs = fs, .root = directory == fs->nodes.root};
	int ret = listing ? fs_path(fs, directory, NULL, &path) : -ENOMEM;

	collect.directory = buf_slice(&path);
	if (!ret)
		ret = fill(&collect, directory);
	if (!ret) {
		sort_and_unite(&collect);
		ret = pack(listing, &collect);
	}
	if (!ret)
		*out = listing;
	else
		listing_free(listing);
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
