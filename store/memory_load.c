/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- the tree from memory.edn ---- */

struct load {
	struct memory *m;
	struct buf path;
	size_t dir_len;               /* of path: the collection's part */
	const struct schema_row *row; /* of the collection at hand */
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

static int load_member(void *context, struct slice member, const struct ednfile_item *item)
{
	struct load *load = context;
	int ret;

	(void)item;
	load->path.len = load->dir_len;
	buf_add_char(&load->path, '/');
	ret = path_of_member_text(load->row->member, member, &load->path);
	return ret ? ret : add_document(load, member);
}

static int load_key(void *context, struct slice key, const struct ednfile_item *item)
{
	struct load *load = context;
	struct memory *m = load->m;
	bool collection = ednfile_is_collection(m->file, key);
	int ret = held_add_entry(&m->held, key, item);

	if (ret)
		return ret;
	buf_reset(&load->path);
	ret = path_of_key_text(m->options.schema, key, collection, &load->path);
	if (ret)
		return ret;
	if (!collection)
		return add_document(load, key);
	load->row = schema_collection(m->options.schema, memory_keyword(key));
	load->dir_len = load->path.len;
	ret = tree_add_collection(m->tree, buf_slice(&load->path), key, NULL);
	return ret ? ret : ednfile_each_member(m->file, key, load_member, load);
}

int memory_load_tree(struct memory *m, struct err *err)
{
	struct load load = {.m = m};
	int ret = ednfile_each(m->file, load_key, &load);

	buf_release(&load.path);
	return ret ? err_set(err, ret, "cannot index memory.edn: %s", strerror(-ret)) : 0;
}

/* ---- what saved knows ---- */

static int load_directory(void *context, struct slice name, const struct saved_record *record)
{
	struct memory *m = context;
	struct tree_node *node = tree_find(m->tree, slice_of(name.ptr + 1, name.len - 1));

	if (!node || !node->dir)
		return 0;
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

int memory_stat_file(const struct memory *m, struct memory_file_note *note)
{
	struct stat st;

	*note = (struct memory_file_note){0};
	if (stat(m->edn_path, &st))
		return -errno;
	*note = (struct memory_file_note){
		st.st_dev, st.st_ino, (uint64_t)st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
	return 0;
}

/*
 * When was what memory.edn holds first seen? At the first mount with this store, unless the file is
 * no longer the one that was left here. A rewrite that was cut short after its rename left one that is ours,
 * too: the intent says so.
 */
static void load_first_seen(struct memory *m, struct saved_reader *reader, uint64_t watermark)
{
	struct memory_file_note now, then;
	struct ednfile_info info;
	uint64_t intent = 0;

	ednfile_info(m->file, &info);
	m->first_seen = info.exists ? info.mtime : memory_now();
	memory_stat_file(m, &now);
	if (saved_note_get(reader, "intent", &intent, sizeof(intent)))
		intent = 0;
	m->foreign = saved_note_get(reader, "file", &then, sizeof(then)) == 0 &&
		     memcmp(&now, &then, sizeof(now)) != 0;
	if (!m->foreign || intent > watermark)
		saved_note_get(reader, "first_seen", &m->first_seen, sizeof(m->first_seen));
}

/* ---- what the replay met ---- */

static void add_hash(struct buf *name, struct hash128 hash)
{
	buf_add(name, &hash, sizeof(hash));
}

int memory_note_replayed(struct memory *m, struct slice name, struct hash128 text_hash)
{
	struct buf key = BUF_INIT;
	int ret;

	buf_add_slice(&key, name);
	add_hash(&key, text_hash);
	ret = buf_error(&key);
	if (!ret)
		ret = table_put(&m->replayed, buf_slice(&key), m, NULL);
	buf_release(&key);
	return ret;
}

/* Did this value come from here: by the journal, or as what saved remembers? */
static bool is_ours(struct memory *m, struct saved_reader *reader, struct slice name,
	struct slice text)
{
	struct hash128 hash = hash128(text.ptr, text.len);
	struct saved_record record;
	struct buf key = BUF_INIT;
	bool ours;

	buf_add_slice(&key, name);
	add_hash(&key, hash);
	ours = table_get(&m->replayed, buf_slice(&key)) != NULL;
	buf_release(&key);
	return ours || (saved_get(reader, name, &record) == 0 &&
			       memcmp(&record.text_hash, &hash, sizeof(hash)) == 0);
}

static int keep_one(struct memory *m, struct saved_reader *reader, struct slice name,
	const struct base *base)
{
	struct slice text = slice_of(base->text, base->len);
	struct buf path = BUF_INIT;
	struct ednfile_item item;
	struct entity_id id;
	int ret;

	if (!base->exists || !entity_id_of_name(name, &id))
		return 0;
	if (!table_get(&m->ghosts, name) && ednfile_get(m->file, id.key, id.member, &item) == 0 &&
		slice_equal(item.text, text))
		return 0;
	if (is_ours(m, reader, name, text) ||
		(!id.member.ptr && slice_equal(text, SLICE_LITERAL("{}"))))
		return 0;
	ret = memory_id_path(m, id, false, &path);
	if (!ret)
		ret = memory_keep_conflict(m, buf_slice(&path), text);
	buf_release(&path);
	return ret;
}

int memory_keep_replaced(struct memory *m, struct err *err)
{
	struct saved_reader reader;
	struct slice name;
	size_t at = 0;
	void *base;
	int ret = 0;

	if (m->foreign && m->bases.count)
		ret = saved_read_begin(m->saved, &reader);
	if (ret || !m->foreign || !m->bases.count)
		return ret;
	while (!ret && table_next(&m->bases, &at, &name, &base))
		ret = keep_one(m, &reader, name, base);
	saved_read_end(&reader);
	table_release(&m->replayed, NULL);
	return ret ? err_set(err, ret, "cannot keep a conflict: %s", strerror(-ret)) : 0;
}

int memory_load_saved(struct memory *m, uint64_t *watermark, struct err *err)
{
	struct saved_reader reader;
	int ret = saved_read_begin(m->saved, &reader);

	*watermark = 0;
	m->next_ino = INO_FIRST;
	m->version = 1;
	if (!ret) {
		saved_note_get(&reader, "watermark", watermark, sizeof(*watermark));
		saved_note_get(&reader, "next_ino", &m->next_ino, sizeof(m->next_ino));
		saved_note_get(&reader, "version", &m->version, sizeof(m->version));
		load_first_seen(m, &reader, *watermark);
		ret = saved_each(&reader, 'P', load_directory, m);
	}
	if (!ret)
		ret = saved_each(&reader, 'X', load_exile, m);
	saved_read_end(&reader);
	m->sequence = m->edn_sequence = m->edn_written = m->watermark = *watermark;
	return ret ? err_set(err, ret, "cannot read the store: %s", strerror(-ret)) : 0;
}
