/* SPDX-License-Identifier: MIT */
#include "memory_apply.h"
#include "memory_event.h"

#include <errno.h>
#include <string.h>

/*
 * In a replay over a file that another writer changed, a key that Clojure's = takes for ours can be in the
 * way. Which one nobody can tell: ours is kept beside.
 */
static int make_way(struct apply *a, const struct change *c, int ret)
{
	struct memory *m = a->m;
	struct buf path = BUF_INIT;

	if (ret == -EEXIST) {
		if (memory_id_path(m, c->id, false, &path) == 0)
			ret = memory_keep_conflict(m, buf_slice(&path), c->text);
		buf_release(&path);
	}
	return ret;
}

/* What changes is in the tree before: members that come later would be taken from what the file holds by then. */
static int load_members(struct memory *m, struct slice key)
{
	struct entity_id id = {.key = key};
	struct tree_node *node;
	int ret;

	if (!tree_has_away(m->tree) || !schema_collection(m->options.schema, memory_keyword(key)))
		return 0;
	ret = memory_find_node(m, id, true, &node);
	return ret || !node ? ret : tree_load(m->tree, node);
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
		if (ret)
			break;
		buf_reset(&a->name);
		entity_id_name(&a->name, c.id);
		ret = buf_error(&a->name) ? -ENOMEM : load_members(a->m, c.id.key);
		if (!ret)
			ret = load_members(a->m, c.from.key);
		if (!ret)
			ret = apply_change(a, &c);
		if (ret && a->replay && c.kind == CHANGE_PUT)
			ret = make_way(a, &c, ret);
		*applied += !ret;
	}
	return ret;
}

/*
 * Where memory ran out in the middle, all of it once more: as in a replay, what is done already is done again to
 * no effect. happened: something of it is in the memory.
 */
static int apply_all(struct apply *a, struct slice payload, bool *happened)
{
	size_t applied;
	int ret = apply_payload(a, payload, &applied);

	*happened = applied || a->edn_changed;
	if (ret == -ENOMEM) {
		if (a->err)
			*a->err = (struct err){0};
		ret = apply_payload(a, payload, &applied);
		*happened |= applied || a->edn_changed;
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

/* What is wrong with the journal is not what is wrong with one record. */
static void note_append(struct memory *m, int ret, const struct err *err)
{
	struct err reason = {.code = ret};

	if (!ret) {
		memory_fails_no_more(m, FAILING_JOURNAL);
	} else if (ret != -ENOMEM && ret != -EFBIG && ret != -EOVERFLOW) {
		memory_fails(m, FAILING_JOURNAL, err && err->code ? err : &reason);
		pace_signal(&m->flush.pace, false); /* it looks when that has passed */
	}
}

/* A mount that only reads has no journal: what it takes over of others is in its memory alone. */
static int append(struct memory *m, enum journal_kind kind, const struct buf *payload,
	struct timespec now, uint64_t *sequence, struct err *err)
{
	int ret;

	if (m->options.read_only) {
		*sequence = m->sequence + 1;
		return 0;
	}
	ret = journal_append(m->journal, now, kind, buf_slice(payload), sequence, err);
	note_append(m, ret, err);
	return ret;
}

static bool retract(struct memory *m)
{
	return m->options.read_only || journal_retract(m->journal) == 0;
}

static void set_broken(struct memory *m)
{
	struct err reason = {0};

	m->broken = -EIO;
	err_set(&reason, -EIO, "a change was cut short: no more are taken, mount again");
	memory_fails(m, FAILING_APPLY, &reason);
}

struct tree_times apply_times(enum journal_kind kind, struct timespec now)
{
	return (struct tree_times){.now = now,
		.directories_stand = kind != JOURNAL_RENAME_DIRECTORY && kind != JOURNAL_ADOPTION};
}

int memory_commit_payload(struct memory *m, enum journal_kind kind, const struct buf *payload,
	struct timespec now, struct err *err)
{
	struct apply a = {.m = m, .times = apply_times(kind, now), .err = err};
	bool happened;
	int ret = m->broken;

	if (ret)
		return err_set(err, ret, "an earlier change was cut short: mount again");
	ret = buf_error(payload);
	if (ret)
		goto out;
	ret = append(m, kind, payload, now, &a.sequence, err);
	if (ret)
		goto out;
	ret = apply_all(&a, buf_slice(payload), &happened);
	if (!ret) {
		finish(&a);
		m->commits++;
		pace_signal(&m->flush.pace, m->overlay_bytes >= FLUSH_BYTES);
		if (a.edn_changed)
			pace_signal(&m->work.pace, false);
	} else if (!happened && retract(m)) {
		/* nothing happened */
	} else {
		/* the journal has all of it: the next mount applies it whole */
		set_broken(m);
	}
out:
	if (ret && err && !err->code)
		err_set(err, ret, "%s", strerror(-ret));
	buf_release(&a.name);
	return ret;
}

int memory_encode_collection(struct memory *m, struct buf *payload, struct slice key)
{
	struct change c = {.kind = CHANGE_COLLECTION, .id.key = key};
	struct tree_node *node;
	int ret = memory_find_node(m, c.id, true, &node);

	return ret || (node && node->dir->keyed) ? ret : memory_encode(m, payload, &c);
}

static int encode_key(struct memory *m, struct buf *payload, const struct change *c)
{
	if (c->kind != CHANGE_PUT || !c->id.member.ptr)
		return 0;
	return memory_encode_collection(m, payload, c->id.key);
}

/* One change speaks for itself; of two, the first puts and the second tells what becomes of its source. */
static enum journal_kind kind_of(const struct change *changes, size_t count)
{
	switch (changes[count - 1].kind) {
	case CHANGE_DELETE:
		return count > 1 ? JOURNAL_RENAME : JOURNAL_DELETE;
	case CHANGE_UNKEY:
		return JOURNAL_REMOVE_DIRECTORY;
	case CHANGE_ATTRIBUTES:
	case CHANGE_DIRECTORY:
		return JOURNAL_ATTRIBUTES;
	case CHANGE_MODE:
		return JOURNAL_MODE;
	default:
		return count > 1 ? JOURNAL_EXCHANGE : JOURNAL_PUT;
	}
}

static bool is_large(struct entity_id id)
{
	return id.key.len + id.member.len > KEY_MAX_BYTES;
}

int memory_check_keys(const struct change *changes, size_t count, struct err *err)
{
	bool large = false;

	for (size_t i = 0; i < count; i++)
		large |= is_large(changes[i].id) || is_large(changes[i].from);
	if (!large || (count == 1 && changes[0].kind == CHANGE_DELETE))
		return 0;
	return err_set(err, -EFBIG, "its key is larger than %d bytes: it can be read and removed",
		KEY_MAX_BYTES);
}

int memory_commit_text(struct memory *m, const struct change *changes, size_t count,
	struct buf *text, struct timespec now, struct err *err)
{
	struct buf payload = BUF_INIT;
	int ret = memory_check_keys(changes, count, err);

	for (size_t i = 0; i < count && !ret; i++) {
		ret = encode_key(m, &payload, &changes[i]);
		ret = ret ? ret : memory_encode(m, &payload, &changes[i]);
	}
	buf_release(text);
	ret = ret ? ret : memory_commit_payload(m, kind_of(changes, count), &payload, now, err);
	buf_release(&payload);
	return ret;
}

int memory_commit(struct memory *m, const struct change *changes, size_t count, struct timespec now,
	struct err *err)
{
	return memory_commit_text(m, changes, count, NULL, now, err);
}

int memory_replay(void *memory, const struct journal_record *record, struct err *err)
{
	struct memory *m = memory;
	struct apply a = {.m = m,
		.times = apply_times(record->kind, record->time),
		.sequence = record->sequence,
		.replay = true,
		.err = err};
	size_t applied;
	int ret = apply_payload(&a, record->payload, &applied);

	if (!ret)
		finish(&a);
	else if (err && !err->code)
		err_set(err, ret, "journal record %llu (%s): %s",
			(unsigned long long)record->sequence, journal_kind_name(record->kind),
			strerror(-ret));
	buf_release(&a.name);
	return ret;
}
