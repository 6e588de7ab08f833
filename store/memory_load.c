/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- the tree from memory.edn ---- */

struct load {
	struct memory *m;
	struct buf path;
};

static bool is_cut(const struct buf *path)
{
	return path->len && memmem(path->ptr, path->len, "%~", 2);
}

static int add_document(struct load *load, struct slice id)
{
	int ret = buf_error(&load->path);

	if (ret)
		return ret;
	return tree_add_document(load->m->tree, buf_slice(&load->path),
		is_cut(&load->path) ? id : slice_of(NULL, 0), NULL);
}

struct members {
	struct memory *m;
	struct tree_node *dir; /* NULL: they are counted, nothing else */
	struct slice key;
	const struct schema_row *row;
	struct buf name;
	bool below_cut; /* no path says the key */
	uint32_t count;
};

static int add_member(struct members *members, struct slice member)
{
	struct slice none = slice_of(NULL, 0);
	int ret;

	buf_reset(&members->name);
	ret = path_of_member_text(members->row->member, member, &members->name);
	if (!ret)
		ret = buf_error(&members->name);
	return ret ? ret
		   : tree_add_member(members->m->tree, members->dir, buf_slice(&members->name),
			     members->below_cut || is_cut(&members->name) ? member : none);
}

static int load_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct members *members = context;
	int ret = memory_is_ghost(members->m, (struct entity_id){members->key, member});

	(void)item;
	if (ret)
		return ret < 0 ? ret : 0;
	members->count++;
	memory_resident_tick_loading(members->m);
	return members->dir ? add_member(members, member) : 0;
}

int memory_load_members(void *memory, struct tree_node *dir)
{
	struct memory *m = memory;
	struct slice key = tree_id(dir);
	struct members members = {.m = m,
		.dir = dir,
		.key = key,
		.row = schema_collection(m->options.schema, memory_keyword(key))};
	int ret;

	tree_path(dir, &members.name);
	ret = buf_error(&members.name);
	members.below_cut = is_cut(&members.name);
	if (!ret)
		ret = ednfile_each_name(m->file, key, load_member, &members);
	buf_release(&members.name);
	if (!ret)
		memory_count_loaded(m, dir);
	return ret;
}

int memory_count_members(struct memory *m, const struct tree_node *dir, uint32_t *count)
{
	struct members members = {.m = m, .key = tree_id(dir)};
	int ret = ednfile_each_name(m->file, members.key, load_member, &members);

	*count = members.count;
	return ret;
}

static int load_key(void *context, struct slice key, const struct ednfile_item *item)
{
	struct load *load = context;
	struct memory *m = load->m;
	bool collection = ednfile_item_is_collection(m->file, key, item);
	struct held_adding adding = {m, &m->held};
	struct tree_node *node;
	int ret = held_add_entry(&adding, key, item);

	if (ret)
		return ret;
	buf_reset(&load->path);
	ret = path_of_key_text(m->options.schema, key, collection, &load->path);
	if (ret)
		return ret;
	if (!collection)
		return add_document(load, key);
	ret = tree_add_collection(m->tree, buf_slice(&load->path), key, NULL);
	if (!ret)
		ret = tree_find(m->tree, buf_slice(&load->path), &node);
	if (!ret)
		tree_leave_away(m->tree, node);
	return ret;
}

/* ---- what saved knows of directories and numbers ---- */

static int load_directory(void *context, struct slice name, const struct saved_record *record)
{
	struct memory *m = context;
	struct tree_node *node;
	int ret = tree_find(m->tree, slice_of(name.ptr + 1, name.len - 1), &node);

	if (ret || !node->dir)
		return ret == -ENOENT ? 0 : ret;
	node->dir->has_mode = record->version;
	node->dir->mode = record->mode;
	node->dir->has_mtime = record->has_mtime;
	node->dir->mtime = record->mtime;
	node->ino = record->ino;
	return 0;
}

static int load_exile(void *context, struct slice name, const struct saved_record *record)
{
	struct memory *m = context;

	(void)record;
	return table_put(&m->exiles, slice_of(name.ptr + 1, name.len - 1), &m->exiles, NULL);
}

int memory_load_tree(struct memory *m, struct err *err)
{
	struct saved_reader reader;
	struct load load = {.m = m};
	int ret = ednfile_each(m->file, load_key, &load);

	buf_release(&load.path);
	if (ret)
		return err_set(err, ret, "cannot index memory.edn: %s", strerror(-ret));
	ret = saved_read_begin(m->saved, &reader);
	if (!ret)
		ret = saved_each(&reader, 'P', load_directory, m);
	if (!ret)
		ret = saved_each(&reader, 'X', load_exile, m);
	saved_read_end(&reader);
	return ret ? err_set(err, ret, "cannot read the store: %s", strerror(-ret)) : 0;
}

/* ---- notes ---- */

static bool same_stat(const struct memory *m, const struct memory_file_note *note)
{
	struct stat st;

	return stat(m->edn_path, &st) == 0 && note->device == st.st_dev && note->ino == st.st_ino &&
	       note->size == (uint64_t)st.st_size && note->seconds == st.st_mtim.tv_sec &&
	       note->nanoseconds == st.st_mtim.tv_nsec;
}

/*
 * Is memory.edn the file that was left here, by the content? The stat can be the same of another: who writes in
 * place can set the times back. A rewrite that was cut short behind its rename left one that only its intent tells of.
 */
static void load_file_note(struct memory *m, struct saved_reader *reader)
{
	struct memory_file_note file, intent;
	struct hash128 hash = ednfile_loaded_hash(m->file);
	bool known = saved_note_get(reader, "file", &file, sizeof(file)) == 0;

	if (!known)
		file = (struct memory_file_note){.hash = hash};
	m->foreign = known && !hash128_equal(file.hash, hash);
	m->file_noted = known && !m->foreign && same_stat(m, &file);
	if (saved_note_get(reader, "intent", &intent, sizeof(intent)) == 0 &&
		hash128_equal(intent.hash, hash) &&
		(m->foreign || intent.sequence > file.sequence)) {
		m->foreign = false;
		file = intent;
	}
	m->work.file = file;
}

int memory_load_notes(struct memory *m, struct err *err)
{
	struct saved_reader reader;
	struct ednfile_info info;
	int ret = saved_read_begin(m->saved, &reader);
	uint64_t *watermark = &m->flush.watermark;

	ednfile_info(m->file, &info);
	m->first_seen = info.exists ? info.mtime : memory_now();
	m->next_ino = INO_FIRST;
	m->version = m->epoch = 1;
	if (ret)
		return err_set(err, ret, "cannot read the store: %s", strerror(-ret));
	saved_note_get(&reader, "watermark", watermark, sizeof(*watermark));
	saved_note_get(&reader, "next_ino", &m->next_ino, sizeof(m->next_ino));
	saved_note_get(&reader, "version", &m->version, sizeof(m->version));
	saved_note_get(&reader, "epoch", &m->epoch, sizeof(m->epoch));
	load_file_note(m, &reader);
	/* what was never saved here was first seen at the first mount, unless others wrote since */
	if (!m->foreign || !m->edn_active)
		saved_note_get(&reader, "first_seen", &m->first_seen, sizeof(m->first_seen));
	saved_read_end(&reader);
	m->sequence = *watermark;
	return 0;
}
