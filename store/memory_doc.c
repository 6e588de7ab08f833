/* SPDX-License-Identifier: MIT */
#include "memory_eav.h"

#include <errno.h>

/*
 * An entry's slot in the ednfile: what was found out about a value that has no pending record.
 * Zero whenever the value or its record changes.
 */
#define SLOT_KNOWN  ((uint64_t)1 << 63)
#define SLOT_RECORD ((uint64_t)1 << 62) /* saved's record speaks of this value */
#define SLOT_SIZED  ((uint64_t)1 << 61)
#define SLOT_HIDDEN ((uint64_t)1 << 60) /* it is not shown; the size is its text's */
#define SLOT_TOLD   ((uint64_t)1 << 59) /* someone was told why */
#define SLOT_SIZE   (SLOT_TOLD - 1)

struct slice memory_keyword(struct slice key)
{
	if (key.len < 2 || key.ptr[0] != ':')
		return slice_of("", 0);
	return slice_of(key.ptr + 1, key.len - 1);
}

int memory_id_path(const struct memory *m, struct entity_id id, bool directory, struct buf *path)
{
	const struct schema *schema = m->options.schema;
	const struct schema_row *row;
	int ret;

	ret = path_of_key_text(schema, id.key, directory || id.member.ptr, path);
	if (ret || !id.member.ptr)
		return ret;
	row = schema_collection(schema, memory_keyword(id.key));
	if (!row)
		return -EINVAL;
	buf_add_char(path, '/');
	return path_of_member_text(row->member, id.member, path);
}

uint64_t memory_default_ino(struct memory *m, struct slice name)
{
	for (uint64_t seed = 1;; seed++) {
		uint64_t ino = hash64(name.ptr, name.len, seed) | INO_HASHED;

		if (!table_get(&m->exiles, slice_of(&ino, sizeof(ino))))
			return ino;
	}
}

uint64_t memory_directory_ino(struct memory *m, const struct tree_node *node)
{
	struct buf name = BUF_INIT;
	uint64_t ino = __atomic_load_n(&node->ino, __ATOMIC_RELAXED);

	if (!node->parent)
		return INO_ROOT;
	if (ino)
		return ino;
	buf_add_char(&name, 'P');
	tree_path(node, &name);
	ino = memory_default_ino(m, buf_slice(&name));
	buf_release(&name);
	return ino;
}

mode_t memory_directory_mode(const struct memory *m, const struct tree_node *node)
{
	mode_t mode = m->default_mode;

	return node->dir->has_mode ? node->dir->mode : mode | (mode & 0444) >> 2;
}

/* ---- finding ---- */

int doc_id(struct memory *m, struct tree_node *node, struct doc *doc)
{
	struct buf path = BUF_INIT;
	int ret;

	doc->node = node;
	if (node->id) {
		doc->id = node->parent->dir->keyed
				  ? (struct entity_id){tree_id(node->parent), tree_id(node)}
				  : (struct entity_id){.key = tree_id(node)};
	} else {
		tree_path(node, &path);
		ret = buf_error(&path);
		if (!ret)
			ret = path_parse(m->options.schema, buf_slice(&path), &doc->place, NULL);
		buf_release(&path);
		if (ret)
			return ret;
		doc->id = (struct entity_id){.key = buf_slice(&doc->place.key)};
		if (doc->place.kind == PATH_MEMBER)
			doc->id.member = buf_slice(&doc->place.member);
	}
	entity_id_name(&doc->name, doc->id);
	return buf_error(&doc->name);
}

int doc_find(struct memory *m, struct slice path, struct doc *doc)
{
	struct tree_node *node;
	int ret = tree_find(m->tree, path, &node);

	if (ret)
		return ret;
	return node->dir ? -EISDIR : doc_id(m, node, doc);
}

void doc_release(struct doc *doc)
{
	saved_read_end(&doc->reader);
	eav_read_end(&doc->eav_reader);
	path_place_release(&doc->place);
	buf_release(&doc->name);
	*doc = DOC_INIT;
}

/* ---- loading ---- */

static bool has_identity(const struct saved_record *record)
{
	return record->identity.high || record->identity.low;
}

int memory_is_of_text(const struct memory *m, const struct saved_record *record, struct slice text)
{
	struct hash128 identity;
	int ret;

	if (hash128_equal(hash128(text.ptr, text.len), record->text_hash))
		return 1;
	if (!has_identity(record))
		return 0;
	ret = memory_text_identity(m, text, &identity);
	return ret == -ENOMEM ? ret : !ret && hash128_equal(identity, record->identity);
}

static void set_defaults(struct memory *m, struct doc *doc, bool found)
{
	if (!found) {
		doc->record = (struct saved_record){.mode = m->default_mode};
		doc->record.ino = memory_default_ino(m, buf_slice(&doc->name));
	}
	if (!doc->has_record) {
		doc->record.has_bytes = false;
		doc->record.bytes = slice_of(NULL, 0);
		doc->record.has_mtime = false;
		doc->record.text_hash = (struct hash128){0, 0};
		doc->record.identity = (struct hash128){0, 0};
	}
	if (!doc->record.has_mtime)
		doc->record.mtime = m->first_seen;
	if (!doc->record.version)
		doc->record.version = 1;
	if (doc->node)
		__atomic_store_n(&doc->node->ino, doc->record.ino, __ATOMIC_RELAXED);
}

int reading_begin(struct memory *m, struct reading *reading, bool eav)
{
	int ret = eav ? eav_read_begin(m->eav.store, &reading->eav) : 0;

	if (!ret)
		ret = saved_read_begin(m->saved, &reading->saved);
	if (ret)
		eav_read_end(&reading->eav);
	return ret;
}

void reading_end(struct reading *reading)
{
	saved_read_end(&reading->saved);
	eav_read_end(&reading->eav);
}

static int load_saved(struct memory *m, struct doc *doc)
{
	uint64_t slot = __atomic_load_n(doc->item.slot, __ATOMIC_ACQUIRE);
	struct saved_reader *reader = doc->within ? &doc->within->saved : &doc->reader;
	int ret = doc->within ? 0 : saved_read_begin(m->saved, reader);
	bool found;

	if (!ret)
		ret = saved_get(reader, buf_slice(&doc->name), &doc->record);
	if (ret && ret != -ENOENT && ret != -EIO)
		return ret;
	found = !ret && !doc->record.deleted && !doc->record.collection;
	if (!found) {
		doc->has_record = false;
	} else if (slot & SLOT_KNOWN) {
		doc->has_record = slot & SLOT_RECORD;
	} else {
		ret = memory_is_of_text(m, &doc->record, doc->item.text);
		if (ret < 0)
			return ret;
		doc->has_record = ret;
		__atomic_fetch_or(doc->item.slot, SLOT_KNOWN | (ret ? SLOT_RECORD : 0),
			__ATOMIC_RELEASE);
	}
	set_defaults(m, doc, found);
	/* the value is here, but who else may see it nobody knows any more */
	if (ret == -EIO)
		doc->record.mode &= 0700;
	return 0;
}

static void fail_eav(struct memory *m, int ret)
{
	struct err reason = {0};

	err_set(&reason, ret, "data.mdb: cannot read: %s", strerror(-ret));
	memory_eav_fail(m, &reason);
}

/*
 * Also for saved alone: a later read of the EAV store, while this document is held, would come behind. Where it can't be
 * read it has failed, so that no later one is begun either. 0, -ENOMEM.
 */
static int begin_eav(struct memory *m, struct doc *doc)
{
	int ret;

	if (doc->within || atomic_load(&m->eav.state) == EAV_FAILED)
		return 0;
	ret = eav_read_begin(m->eav.store, &doc->eav_reader);
	if (ret && ret != -ENOMEM) {
		fail_eav(m, ret);
		return 0;
	}
	return ret;
}

bool doc_eav_serves(struct memory *m)
{
	return mode_row((enum mode)atomic_load(&m->mode))->reads_eav &&
	       atomic_load(&m->eav.state) == EAV_READY;
}

static int get_eav(struct memory *m, struct doc *doc)
{
	struct eav_reader *reader = doc->within ? &doc->within->eav : &doc->eav_reader;
	struct eav_record record;
	int ret = eav_get(reader, buf_slice(&doc->name), &record);

	if (ret && ret != -ENOENT && ret != -ENOMEM)
		fail_eav(m, ret);
	if (ret || record.deleted || record.collection)
		return -ENOENT;
	doc->record = (struct saved_record){.has_bytes = true,
		.has_mtime = record.has_mtime,
		.mode = record.mode,
		.mtime = record.mtime,
		.ino = record.ino,
		.version = record.version,
		.text_hash = record.text_hash,
		.identity = record.identity,
		.sequence = record.transaction,
		.bytes = record.bytes};
	doc->has_record = doc->from_eav = true;
	atomic_fetch_add_explicit(&m->eav.reads, 1, memory_order_relaxed);
	set_defaults(m, doc, true);
	return 0;
}

/* -ENOENT: from memory.edn, then. */
static int load_eav(struct memory *m, struct doc *doc)
{
	bool serves = doc->within ? doc->within->serves : doc_eav_serves(m);
	int ret = serves ? get_eav(m, doc) : -ENODATA;

	if (ret == -ENOENT)
		atomic_fetch_add_explicit(&m->eav.fallbacks, 1, memory_order_relaxed);
	return ret == -ENODATA ? -ENOENT : ret;
}

/* What is beside the value. -ENOENT: it is saved's to say, if anyone's. */
static int load_record(struct memory *m, struct doc *doc, bool eav)
{
	struct pending *pending = table_get(&m->overlay, buf_slice(&doc->name));
	int ret;

	if (!pending || pending->saved.deleted || pending->saved.collection) {
		ret = begin_eav(m, doc);
		return ret ? ret : eav ? load_eav(m, doc) : -ENOENT;
	}
	doc->record = pending->saved;
	doc->has_record = true;
	set_defaults(m, doc, true);
	return 0;
}

static int load(struct memory *m, struct doc *doc, bool eav, bool with_item)
{
	int record = load_record(m, doc, eav);
	int ret = record == -ENOENT ? 0 : record;

	if (!ret && (with_item || record || !doc->record.has_bytes))
		ret = ednfile_get(m->file, doc->id.key, doc->id.member, &doc->item);
	return ret || !record ? ret : load_saved(m, doc);
}

int doc_load(struct memory *m, struct doc *doc)
{
	return load(m, doc, true, true);
}

int doc_load_edn(struct memory *m, struct doc *doc)
{
	return load(m, doc, false, true);
}

int doc_load_shown(struct memory *m, struct doc *doc)
{
	return load(m, doc, true, false);
}

/* Nobody may know better than the EAV store: a change that it has yet to get, or a deletion. */
static bool is_of_eav(struct memory *m, struct slice name)
{
	return !table_get(&m->overlay, name) && !table_get(&m->ghosts, name);
}

int doc_load_away(struct memory *m, struct slice path, struct doc *doc)
{
	const struct tree_node *dir = doc_eav_serves(m) ? tree_away_above(m->tree, path) : NULL;
	int ret = dir ? path_parse(m->options.schema, path, &doc->place, NULL) : -ENOENT;

	if (ret)
		return ret == -ENOMEM ? ret : -ENOENT;
	doc->id = (struct entity_id){buf_slice(&doc->place.key), buf_slice(&doc->place.member)};
	if (doc->place.kind != PATH_MEMBER || !slice_equal(doc->id.key, tree_id(dir)))
		return -ENOENT;
	entity_id_name(&doc->name, doc->id);
	ret = buf_error(&doc->name);
	if (!ret && !is_of_eav(m, buf_slice(&doc->name)))
		ret = -ENOENT;
	if (!ret)
		ret = begin_eav(m, doc);
	return ret ? ret : get_eav(m, doc);
}

int doc_identity(const struct memory *m, struct doc *doc)
{
	struct slice text = doc->item.text;

	doc->record.text_hash = hash128(text.ptr, text.len);
	return has_identity(&doc->record) ? 0
					  : memory_text_identity(m, text, &doc->record.identity);
}

/* ---- showing ---- */

int doc_bytes(struct memory *m, struct doc *doc, struct buf *out, struct err *err)
{
	uint64_t slot;
	int ret;

	if (doc->record.has_bytes) {
		buf_add_slice(out, doc->record.bytes);
		return buf_error(out);
	}
	/* not again and again for who reads all there is */
	slot = __atomic_load_n(doc->item.slot, __ATOMIC_ACQUIRE);
	if ((slot & SLOT_HIDDEN) && (slot & SLOT_TOLD))
		return err_set(err, -EFBIG, "%s", strerror(EFBIG));
	ret = memory_value_show(m, doc->item.text, out, err);
	return ret == -EBADMSG ? -EIO : ret;
}

static int look_at_size(struct memory *m, struct doc *doc, uint64_t *slot)
{
	struct buf bytes = BUF_INIT;
	int ret = doc_bytes(m, doc, &bytes, NULL);

	*slot = SLOT_SIZED | bytes.len;
	if (ret == -EFBIG) {
		*slot = SLOT_SIZED | SLOT_HIDDEN | doc->item.text.len;
		ret = 0;
	}
	if (!ret)
		__atomic_fetch_or(doc->item.slot, *slot, __ATOMIC_RELEASE);
	buf_release(&bytes);
	return ret;
}

int doc_size(struct memory *m, struct doc *doc, struct memory_stat *st)
{
	uint64_t slot;
	int ret = 0;

	if (doc->record.has_bytes) {
		st->size = doc->record.bytes.len;
		return 0;
	}
	slot = __atomic_load_n(doc->item.slot, __ATOMIC_ACQUIRE);
	if (!(slot & SLOT_SIZED))
		ret = look_at_size(m, doc, &slot);
	st->size = slot & SLOT_SIZE;
	st->hidden = slot & SLOT_HIDDEN;
	return ret;
}

bool doc_is_told_first(struct doc *doc)
{
	return !(__atomic_fetch_or(doc->item.slot, SLOT_TOLD, __ATOMIC_ACQ_REL) & SLOT_TOLD);
}

void doc_stat(const struct doc *doc, struct memory_stat *st)
{
	*st = (struct memory_stat){.kind = MEMORY_DOCUMENT,
		.mode = doc->record.mode,
		.ino = doc->record.ino,
		.version = doc->record.version,
		.mtime = doc->record.mtime};
}
