/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_trees.h"

struct timespec memory_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

/* ---- the tables ---- */

void memory_note_dir(void *memory, struct slice path)
{
	struct memory *m = memory;

	/* for lack of memory a directory's mtime may get lost in a remount, nothing else */
	table_put(&m->dirty_dirs, path, m, NULL);
}

int memory_exile(struct memory *m, uint64_t ino)
{
	struct slice key = slice_of(&ino, sizeof(ino));

	return table_get(&m->exiles, key) ? 0 : table_put(&m->exiles, key, m, NULL);
}

void memory_drop_pending(void *pending)
{
	struct pending *p = pending;

	if (p && atomic_fetch_sub(&p->references, 1) == 1)
		free(p);
}

int memory_set_pending(struct memory *m, struct slice name, const struct saved_record *saved,
	uint64_t sequence)
{
	size_t len = saved->has_bytes ? saved->bytes.len : 0;
	/* the bytes say the value, too */
	bool has_text = saved->text.ptr && !saved->has_bytes;
	size_t text_len = has_text ? saved->text.len : 0;
	struct pending *p = malloc(sizeof(*p) + len + text_len);
	void *old;

	if (!p)
		return -ENOMEM;
	atomic_init(&p->references, 1);
	p->sequence = sequence;
	p->saved = *saved;
	p->saved.bytes = slice_of(p->bytes, len);
	if (len)
		memcpy(p->bytes, saved->bytes.ptr, len);
	p->saved.text = has_text ? slice_of(p->bytes + len, text_len) : slice_of(NULL, 0);
	if (text_len)
		memcpy(p->bytes + len, saved->text.ptr, text_len);
	if (table_put(&m->overlay, name, p, &old)) {
		free(p);
		return -ENOMEM;
	}
	m->overlay_bytes += sizeof(*p) + len + text_len;
	memory_drop_pending(old);
	store_trees_touch(m, name);
	return 0;
}

/* ---- ghosts ---- */

int memory_is_ghost(const struct memory *m, struct entity_id id)
{
	struct buf name = BUF_INIT;
	int ret;

	if (!m->ghosts.count)
		return 0;
	entity_id_name(&name, id);
	ret = buf_error(&name) ? -ENOMEM : table_get(&m->ghosts, buf_slice(&name)) != NULL;
	buf_release(&name);
	return ret;
}

int memory_flush_ghosts(struct memory *m)
{
	struct slice name;
	size_t at = 0;
	void *value;

	while (table_next(&m->ghosts, &at, &name, &value)) {
		struct entity_id id;
		int ret;

		if (!entity_id_of_name(name, &id))
			continue;
		ret = ednfile_delete(m->file, id.key, id.member);
		if (ret && ret != -ENOENT && ret != -ENOTDIR)
			return ret;
	}
	table_release(&m->ghosts, NULL);
	return 0;
}

/* ---- the tree ---- */

int memory_add_node(struct memory *m, struct entity_id id, bool directory,
	const struct tree_times *times)
{
	struct buf path = BUF_INIT;
	struct buf dir = BUF_INIT;
	struct slice none = slice_of(NULL, 0);
	bool cut;
	int ret;

	ret = memory_id_path(m, id, directory, &path);
	if (!ret && id.member.ptr) {
		ret = memory_id_path(m, (struct entity_id){.key = id.key}, true, &dir);
		if (!ret)
			ret = tree_add_collection(m->tree, buf_slice(&dir), id.key, times);
	}
	if (!ret)
		ret = buf_error(&path);
	cut = !ret && path.len && memmem(path.ptr, path.len, "%~", 2);
	if (!ret && directory)
		ret = tree_add_collection(m->tree, buf_slice(&path), id.key, times);
	else if (!ret)
		ret = tree_add_document(m->tree, buf_slice(&path),
			!cut            ? none
			: id.member.ptr ? id.member
					: id.key,
			times);
	buf_release(&dir);
	buf_release(&path);
	return ret;
}

int memory_find_node(struct memory *m, struct entity_id id, bool directory, struct tree_node **node)
{
	struct buf path = BUF_INIT;
	int ret = memory_id_path(m, id, directory, &path);

	*node = NULL;
	if (!ret)
		ret = buf_error(&path);
	/* where there is no such path, nothing is there */
	if (ret && ret != -ENOMEM)
		ret = -ENOENT;
	if (!ret)
		ret = tree_find(m->tree, buf_slice(&path), node);
	if (*node && !(*node)->dir == directory)
		*node = NULL;
	buf_release(&path);
	return ret == -ENOENT ? 0 : ret;
}

int memory_find_entity(struct memory *m, struct entity_id id, struct tree_node **node)
{
	int ret = memory_find_node(m, id, false, node);

	if (ret || *node || id.member.ptr)
		return ret;
	ret = memory_find_node(m, id, true, node);
	if (*node && !(*node)->dir->keyed)
		*node = NULL;
	return ret;
}
