/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One journal record being applied, live or in a replay. */
struct apply {
	struct memory *m;
	struct timespec when;
	uint64_t sequence;
	bool replay;
	bool edn_changed;
	struct buf name; /* entity_id_name of the change at hand */
	struct err *err;
};

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
	bool deleted, uint64_t sequence)
{
	size_t len = saved->has_bytes ? saved->bytes.len : 0;
	struct pending *p = malloc(sizeof(*p) + len);
	void *old;

	if (!p)
		return -ENOMEM;
	atomic_init(&p->references, 1);
	p->sequence = sequence;
	p->deleted = deleted;
	p->saved = *saved;
	p->saved.bytes = slice_of(p->bytes, len);
	if (len)
		memcpy(p->bytes, saved->bytes.ptr, len);
	if (table_put(&m->overlay, name, p, &old)) {
		free(p);
		return -ENOMEM;
	}
	memory_drop_pending(old);
	return 0;
}

static void reset_slot(struct memory *m, struct entity_id id)
{
	struct ednfile_item item;

	if (ednfile_get(m->file, id.key, id.member, &item) == 0)
		__atomic_store_n(item.slot, 0, __ATOMIC_RELEASE);
}

/* ---- memory.edn ---- */

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

/* Remembers what stands in the file before our first change to it. */
static int note_base(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	bool key_only = c->kind == CHANGE_COLLECTION || c->kind == CHANGE_UNKEY;
	struct ednfile_item item = {.text = SLICE_LITERAL("{}")};
	struct base *base;
	int ret = 0;

	buf_reset(&a->name);
	entity_id_name(&a->name, c->id);
	if (buf_error(&a->name))
		return -ENOMEM;
	if (c->kind == CHANGE_ATTRIBUTES || c->kind == CHANGE_MOVE || c->kind == CHANGE_DIRECTORY ||
		table_get(&m->bases, buf_slice(&a->name)))
		return 0;
	if (key_only)
		ret = ednfile_is_collection(m->file, c->id.key) ? 0 : -ENOENT;
	else if (c->id.member.ptr && !ednfile_is_collection(m->file, c->id.key))
		ret = -ENOENT;
	else if (!c->id.member.ptr && ednfile_is_collection(m->file, c->id.key))
		ret = -ENOENT;
	else
		ret = ednfile_get(m->file, c->id.key, c->id.member, &item);
	if (ret == -ENOMEM)
		return ret;
	if (ret)
		item.text = slice_of("", 0);
	base = malloc(sizeof(*base) + item.text.len);
	if (!base)
		return -ENOMEM;
	base->exists = !ret;
	base->len = item.text.len;
	if (base->len)
		memcpy(base->text, item.text.ptr, base->len);
	ret = table_put(&m->bases, buf_slice(&a->name), base, NULL);
	if (ret)
		free(base);
	return ret;
}

static void unghost(struct memory *m, struct entity_id id)
{
	struct buf name = BUF_INIT;

	entity_id_name(&name, id);
	if (!buf_error(&name))
		table_remove(&m->ghosts, buf_slice(&name));
	buf_release(&name);
}

/* A deleted document may still stand where a collection is to be. */
static int clear_ghost_key(struct memory *m, struct slice key)
{
	struct entity_id id = {.key = key};
	int ret;

	if (ednfile_is_collection(m->file, key))
		return 0;
	ret = ednfile_delete(m->file, key, slice_of(NULL, 0));
	unghost(m, id);
	return ret == -ENOENT ? 0 : ret;
}

static bool stands_as(struct memory *m, struct entity_id id, struct slice text)
{
	struct ednfile_item item;

	return ednfile_get(m->file, id.key, id.member, &item) == 0 && slice_equal(item.text, text);
}

static bool is_ghost(struct memory *m, struct entity_id id)
{
	struct buf name = BUF_INIT;
	bool ghost;

	entity_id_name(&name, id);
	ghost = table_get(&m->ghosts, buf_slice(&name)) != NULL;
	buf_release(&name);
	return ghost;
}

/* The value wanders from `from`, place and all. False: it is to be put as any other. */
static bool move_text(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;

	if (!stands_as(m, c->from, c->text) || is_ghost(m, c->from))
		return false;
	if (c->id.member.ptr && clear_ghost_key(m, c->id.key))
		return false;
	ednfile_delete(m->file, c->id.key, c->id.member);
	return ednfile_rename(m->file, c->from.key, c->from.member, c->id.key, c->id.member,
		       NULL) == 0;
}

static int put_text(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	int ret;

	if (stands_as(m, c->id, c->text)) {
		a->edn_changed |= table_remove(&m->ghosts, buf_slice(&a->name)) != NULL;
		return 0;
	}
	if (c->from.key.ptr && move_text(a, c)) {
		a->edn_changed = true;
		table_remove(&m->ghosts, buf_slice(&a->name));
		return 0;
	}
	ret = c->id.member.ptr ? clear_ghost_key(m, c->id.key) : 0;
	if (!ret)
		ret = ednfile_put(m->file, c->id.key, c->id.member, c->text, a->err);
	if (ret)
		return ret;
	a->edn_changed = true;
	table_remove(&m->ghosts, buf_slice(&a->name));
	return 0;
}

/* ---- the tree ---- */

int memory_add_node(struct memory *m, struct entity_id id, bool directory,
	const struct timespec *when)
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
			ret = tree_add_collection(m->tree, buf_slice(&dir), id.key, when);
	}
	if (!ret)
		ret = buf_error(&path);
	cut = !ret && path.len && memmem(path.ptr, path.len, "%~", 2);
	if (!ret && directory)
		ret = tree_add_collection(m->tree, buf_slice(&path), id.key, when);
	else if (!ret)
		ret = tree_add_document(m->tree, buf_slice(&path),
			!cut            ? none
			: id.member.ptr ? id.member
					: id.key,
			when);
	buf_release(&dir);
	buf_release(&path);
	return ret;
}

static struct tree_node *find_node(struct memory *m, struct entity_id id, bool directory)
{
	struct buf path = BUF_INIT;
	struct tree_node *node = NULL;

	if (memory_id_path(m, id, directory, &path) == 0)
		node = tree_find(m->tree, buf_slice(&path));
	buf_release(&path);
	return node && !node->dir == !directory ? node : NULL;
}

void memory_remove_node(struct memory *m, struct entity_id id, bool directory,
	const struct timespec *when)
{
	struct tree_node *node = find_node(m, id, directory);

	if (node)
		tree_remove(m->tree, node, when);
}

/* ---- one change each ---- */

static void count_up(struct memory *m, const struct saved_record *saved, struct slice name)
{
	if (saved->version > m->version)
		m->version = saved->version;
	if (!(saved->ino & INO_HASHED)) {
		if (saved->ino >= m->next_ino)
			m->next_ino = saved->ino + 1;
	} else if (saved->ino != (hash64(name.ptr, name.len, 1) | INO_HASHED)) {
		memory_exile(m, saved->ino);
	}
}

static int apply_put(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct tree_node *node;
	int ret = put_text(a, c);

	if (!ret)
		ret = memory_add_node(m, c->id, false, &a->when);
	if (!ret)
		ret = memory_set_pending(m, buf_slice(&a->name), &c->saved, false, a->sequence);
	if (ret)
		return ret;
	count_up(m, &c->saved, buf_slice(&a->name));
	reset_slot(m, c->id);
	node = find_node(m, c->id, false);
	if (node)
		node->ino = c->saved.ino;
	return 0;
}

static int apply_attributes(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct saved_record saved = c->saved;
	struct doc doc = DOC_INIT;
	struct tree_node *node = find_node(m, c->id, false);
	int ret;

	if (!node)
		return 0;
	ret = doc_id(m, node, &doc);
	if (!ret)
		ret = doc_load(m, &doc);
	if (ret)
		goto out;
	saved.has_bytes = doc.has_record && doc.record.has_bytes && c->saved.has_bytes;
	saved.bytes = doc.record.bytes;
	/* in a replay the value may be another's: then the times speak of one that is gone */
	if (a->replay) {
		struct hash128 now = hash128(doc.item.text.ptr, doc.item.text.len);

		if (now.high != saved.text_hash.high || now.low != saved.text_hash.low)
			saved.has_mtime = doc.has_record && saved.has_mtime;
	}
	ret = memory_set_pending(m, buf_slice(&a->name), &saved, false, a->sequence);
	if (ret)
		goto out;
	count_up(m, &saved, buf_slice(&a->name));
	reset_slot(m, c->id);
	node->ino = saved.ino;
out:
	doc_release(&doc);
	return ret;
}

static int apply_delete(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct ednfile_item item;
	int ret;

	ret = ednfile_get(m->file, c->id.key, c->id.member, &item);
	if (ret == -ENOMEM)
		return ret;
	if (!ret && (c->id.member.ptr || !ednfile_is_collection(m->file, c->id.key))) {
		ret = table_put(&m->ghosts, buf_slice(&a->name), m, NULL);
		if (ret)
			return ret;
		a->edn_changed = true;
	}
	ret = memory_set_pending(m, buf_slice(&a->name), &c->saved, true, a->sequence);
	if (ret)
		return ret;
	memory_remove_node(m, c->id, false, &a->when);
	return 0;
}

static int apply_move(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	int ret;

	/* a replay may meet members of which the record knows nothing: those stay where they are */
	if (a->replay || !ednfile_is_collection(m->file, c->from.key))
		return 0;
	ret = memory_flush_ghosts(m);
	if (ret)
		return ret;
	a->edn_changed = true;
	ret = ednfile_rename(m->file, c->from.key, c->from.member, c->id.key, c->id.member, NULL);
	return ret == -ENOMEM ? ret : 0;
}

static int apply_collection(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	int ret = 0;

	if (!ednfile_is_collection(m->file, c->id.key)) {
		ret = clear_ghost_key(m, c->id.key);
		if (!ret)
			ret = ednfile_put(m->file, c->id.key, c->id.member, SLICE_LITERAL("{}"),
				a->err);
		a->edn_changed = true;
	}
	return ret ? ret : memory_add_node(m, c->id, true, &a->when);
}

static int apply_unkey(struct apply *a, const struct change *c)
{
	struct memory *m = a->m;
	struct tree_node *node = find_node(m, c->id, true);
	int ret;

	/* a member that no record deleted: someone else's, in a replay */
	for (struct tree_node *child = node ? node->dir->children : NULL; child;
		child = child->next) {
		if (!child->dir)
			return 0;
	}
	if (!ednfile_is_collection(m->file, c->id.key))
		ret = -ENOENT;
	else
		ret = ednfile_delete(m->file, c->id.key, c->id.member);
	if (ret && ret != -ENOENT)
		return ret;
	a->edn_changed |= !ret;
	if (node)
		tree_remove(m->tree, node, &a->when);
	return 0;
}

static int apply_directory(struct apply *a, const struct change *c)
{
	struct tree_node *node = tree_find(a->m->tree, c->id.key);
	struct buf name = BUF_INIT;

	if (!node || !node->dir)
		return 0;
	node->dir->has_mode = c->has_mode;
	node->dir->mode = c->saved.mode;
	node->dir->has_mtime = c->saved.has_mtime;
	node->dir->mtime = c->saved.mtime;
	node->ino = c->saved.ino;
	buf_add_char(&name, 'P');
	buf_add_slice(&name, c->id.key);
	if (!buf_error(&name) && node->parent)
		count_up(a->m, &c->saved, buf_slice(&name));
	buf_release(&name);
	memory_note_dir(a->m, c->id.key);
	return 0;
}

static int apply_change(struct apply *a, const struct change *c)
{
	switch (c->kind) {
	case CHANGE_PUT:
		return apply_put(a, c);
	case CHANGE_ATTRIBUTES:
		return apply_attributes(a, c);
	case CHANGE_DELETE:
		return apply_delete(a, c);
	case CHANGE_MOVE:
		return apply_move(a, c);
	case CHANGE_COLLECTION:
		return apply_collection(a, c);
	case CHANGE_UNKEY:
		return apply_unkey(a, c);
	case CHANGE_DIRECTORY:
		return apply_directory(a, c);
	}
	return -EBADMSG;
}

/*
 * In a replay over a file that another writer changed, a value can be in the way of ours: a key that is a
 * collection here and a document there, or one that Clojure's = takes for ours. Ours is what
 * was acknowledged; what stood there is kept as a conflict.
 */
static int make_way(struct apply *a, const struct change *c, int ret)
{
	struct memory *m = a->m;
	struct buf path = BUF_INIT;

	if (ret == -EEXIST) {
		/* which key it is nobody can tell: ours is kept beside */
		if (memory_id_path(m, c->id, false, &path) == 0)
			ret = memory_keep_conflict(m, buf_slice(&path), c->text);
		buf_release(&path);
	}
	return ret;
}

/* How many changes were applied is told even on failure. */
static int apply_payload(struct apply *a, struct slice payload, size_t *applied)
{
	struct slice rest = payload;
	struct change c;
	int ret = 0;

	*applied = 0;
	while (rest.len && !ret) {
		ret = change_decode(&rest, &c);
		if (!ret)
			ret = note_base(a, &c);
	}
	rest = payload;
	while (rest.len && !ret) {
		ret = change_decode(&rest, &c);
		if (ret)
			break;
		buf_reset(&a->name);
		entity_id_name(&a->name, c.id);
		ret = buf_error(&a->name) ? -ENOMEM : apply_change(a, &c);
		if (ret && a->replay && c.kind == CHANGE_PUT)
			ret = make_way(a, &c, ret);
		*applied += !ret;
	}
	return ret;
}

static void finish(struct apply *a)
{
	struct memory *m = a->m;

	m->sequence = a->sequence;
	if (a->edn_changed) {
		m->edn_sequence = a->sequence;
		m->changes++;
	}
}

int memory_commit_payload(struct memory *m, const struct buf *payload, struct timespec now,
	struct err *err)
{
	struct apply a = {.m = m, .when = now, .err = err};
	size_t applied;
	int ret = m->broken;

	if (ret)
		return err_set(err, ret, "an earlier change was cut short: mount again");
	ret = buf_error(payload);
	if (!ret)
		ret = journal_append(m->journal, now, buf_slice(payload), &a.sequence, err);
	if (ret)
		goto out;
	ret = apply_payload(&a, buf_slice(payload), &applied);
	if (!ret) {
		finish(&a);
		memory_signal(m);
	} else if (applied == 0 && !a.edn_changed && journal_retract(m->journal) == 0) {
		/* nothing happened */
	} else {
		/* the journal has all of it: the next mount applies it whole */
		m->broken = -EIO;
	}
out:
	if (ret && err && !err->code)
		err_set(err, ret, "%s", strerror(-ret));
	buf_release(&a.name);
	return ret;
}

int memory_commit(struct memory *m, const struct change *changes, size_t count, struct timespec now,
	struct err *err)
{
	struct buf payload = BUF_INIT;
	int ret;

	for (size_t i = 0; i < count; i++)
		change_encode(&payload, &changes[i]);
	ret = memory_commit_payload(m, &payload, now, err);
	buf_release(&payload);
	return ret;
}

int memory_replay(void *memory, const struct journal_record *record, struct err *err)
{
	struct memory *m = memory;
	struct apply a = {.m = m,
		.when = record->time,
		.sequence = record->sequence,
		.replay = true,
		.err = err};
	size_t applied;
	int ret = apply_payload(&a, record->payload, &applied);

	if (!ret)
		finish(&a);
	else if (err && !err->code)
		err_set(err, ret, "journal record %llu: %s", (unsigned long long)record->sequence,
			strerror(-ret));
	buf_release(&a.name);
	return ret;
}
