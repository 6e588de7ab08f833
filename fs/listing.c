/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "control.h"
#include "stores.h"
#include "view.h"

struct collect {
	struct fs *fs;
	struct listing *listing;
	struct slice directory;
	bool root;
};

static int add(struct listing *listing, struct slice name, unsigned char type, uint64_t ino)
{
	if (listing->count == listing->capacity) {
		size_t capacity = listing->capacity ? listing->capacity * 2 : 64;
		struct listing_entry *grown =
			realloc(listing->entries, capacity * sizeof(*listing->entries));

		if (!grown)
			return -ENOMEM;
		listing->entries = grown;
		listing->capacity = capacity;
	}
	if (listing->names.len > UINT32_MAX - name.len - 1)
		return -EOVERFLOW;
	listing->entries[listing->count++] = (struct listing_entry){
		.name = (uint32_t)listing->names.len,
		.name_len = (uint16_t)name.len,
		.type = type,
		.ino = ino,
	};
	buf_add_slice(&listing->names, name);
	buf_add_char(&listing->names, '\0');
	return buf_error(&listing->names);
}

static int add_from_memory(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	struct collect *collect = context;

	return add(collect->listing, name, kind == MEMORY_DIRECTORY ? DT_DIR : DT_REG, ino);
}

static int add_from_scratch(void *context, struct slice name, unsigned char type, uint64_t ino)
{
	struct collect *collect = context;

	if (collect->root && view_is_reserved(name))
		return 0;
	return add(collect->listing, name, type, ino);
}

/* Files that are open for their first save. */
static int add_created(struct fs *fs, const struct node *directory, struct listing *listing)
{
	struct document *document;
	size_t i;
	int ret = 0;

	pthread_mutex_lock(&fs->lock);
	for (i = 0; i < fs->documents.bucket_count && !ret; i++)
		for (document = fs->documents.buckets[i]; document && !ret;
			document = document->next)
			if (document->created && !document->on_disk &&
				document->parent == directory)
				ret = add(listing, slice_of(document->name, document->name_len),
					DT_REG, document->ino);
	pthread_mutex_unlock(&fs->lock);
	return ret;
}

static int add_controls(struct listing *listing)
{
	unsigned i;
	int ret = 0;

	for (i = 0; control_name(i) && !ret; i++)
		ret = add(listing, slice_str(control_name(i)), DT_REG, i + 1);
	if (!ret)
		ret = add(listing, slice_str(".rejected"), DT_DIR, i + 1);
	if (!ret)
		ret = add(listing, slice_str(".conflicts"), DT_DIR, i + 2);
	if (!ret)
		ret = add(listing, slice_str(".store"), DT_DIR, stores_ino(slice_str(".store")));
	return ret;
}

static int compare(const void *a, const void *b, void *names)
{
	const struct listing_entry *x = a;
	const struct listing_entry *y = b;
	const char *text = names;
	int order = strcmp(text + x->name, text + y->name);

	/* Of the same name: what was added last comes first, and is kept. */
	return order ? order : (x->name < y->name) - (x->name > y->name);
}

static void sort_and_unite(struct listing *listing)
{
	size_t kept = 0;
	size_t i;

	if (!listing->count)
		return;
	qsort_r(listing->entries, listing->count, sizeof(*listing->entries), compare,
		listing->names.ptr);
	for (i = 1; i < listing->count; i++)
		if (strcmp(listing_name(listing, kept), listing_name(listing, i)) != 0)
			listing->entries[++kept] = listing->entries[i];
	listing->count = kept + 1;
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
	ret = add_created(fs, directory, collect->listing);
	if (!ret)
		ret = scratch_list(tree, rel, add_from_scratch, collect);
	if ((!ret || is_absent(ret)) && tree == &fs->trees[TREE_SCRATCH] &&
		!view_below_dot(collect->directory))
		ret = memory_list(fs->memory, collect->directory, add_from_memory, collect);
	if (is_absent(ret))
		ret = 0;
	if (!ret && collect->root && fs->options->control_listed)
		ret = add_controls(collect->listing);
	return ret;
}

int listing_new(struct listing **out, struct fs *fs, const struct node *directory)
{
	struct buf path = BUF_INIT;
	struct collect collect = {.fs = fs, .root = directory == fs->nodes.root};
	int ret = fs_path(fs, directory, NULL, &path);

	collect.listing = calloc(1, sizeof(*collect.listing));
	collect.directory = buf_slice(&path);
	if (!collect.listing)
		ret = -ENOMEM;
	if (!ret)
		ret = fill(&collect, directory);
	if (!ret) {
		sort_and_unite(collect.listing);
		*out = collect.listing;
	} else {
		listing_free(collect.listing);
	}
	buf_release(&path);
	return ret;
}

void listing_free(struct listing *listing)
{
	if (!listing)
		return;
	buf_release(&listing->names);
	free(listing->entries);
	free(listing);
}
