/* SPDX-License-Identifier: MIT */
#include "settle.h"

#include <errno.h>
#include <stdlib.h>

struct settling_directory {
	struct settling_directory *next;
	size_t len; /* of its path */
	struct stat st;
};

static size_t parent_len(struct slice path)
{
	size_t len = path.len;

	while (len && path.ptr[len - 1] != '/')
		len--;
	return len ? len - 1 : 0;
}

/* Without memory for it a directory shows the default mode and time: no reason to refuse a save. */
void settle_begin(struct fs *fs, struct slice path, struct settling *settling)
{
	struct settling_directory **last = &settling->first;
	struct memory_stat known;
	struct slice directory = path;

	*settling = (struct settling){0};
	buf_add_slice(&settling->path, path);
	while (!buf_error(&settling->path) && (directory.len = parent_len(directory))) {
		struct settling_directory *one;

		/* Of one that is the memory's all above are, too. */
		if (memory_stat(fs->memory, directory, &known) != -ENOENT)
			return;
		one = calloc(1, sizeof(*one));
		if (!one)
			return;
		one->len = directory.len;
		if (scratch_stat(&fs->trees[TREE_SCRATCH], directory, &one->st)) {
			free(one);
			return;
		}
		*last = one;
		last = &one->next;
	}
}

static void settle_one(struct fs *fs, struct slice path, const struct settling_directory *one,
	bool innermost)
{
	/* Something was made in the innermost one: it is of now. */
	const struct memory_attributes attributes = {
		.has_mode = true,
		.has_mtime = !innermost,
		.mode = one->st.st_mode & 0777,
		.mtime = one->st.st_mtim,
	};

	(void)scratch_rmdir(&fs->trees[TREE_SCRATCH], slice_of(path.ptr, one->len));
	(void)memory_set_attributes(fs->memory, slice_of(path.ptr, one->len), &attributes);
}

void settle_end(struct fs *fs, struct settling *settling, bool came)
{
	bool innermost = true;

	while (settling->first) {
		struct settling_directory *one = settling->first;

		if (came)
			settle_one(fs, buf_slice(&settling->path), one, innermost);
		innermost = false;
		settling->first = one->next;
		free(one);
	}
	buf_release(&settling->path);
}
