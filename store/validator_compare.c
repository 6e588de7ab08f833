/* SPDX-License-Identifier: MIT */
#include "validator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"
#include "memory_names.h"

/*
 * The values of both stores, in name order, in pieces. What differs, or is pending, is looked at again when the EAV
 * store has caught up: that is a difference which stays one. What is pending even then is being written
 * to both just now, again and again.
 */
enum { PIECE_ENTITIES = 32, PIECE_BYTES = 1 << 20, ROUNDS = 4, READY_TRIES = 3 };

struct comparing {
	struct validator *v;
	struct ednfile
		*disk; /* memory.edn as it stands, where the mode leaves it alone; else NULL */
	struct names names;
	size_t *again; /* of the names */
	size_t again_count;
	size_t compared;
	size_t bytes; /* of EDN that this piece has looked into */
	bool last;    /* no next round for what is pending */
};

enum outcome { SAME, AGAIN, DIFFERENT };

/* ---- one entity ---- */

struct side {
	struct hash128 identity;
	struct slice text; /* of a document in memory.edn, whose identity is not known yet */
};

static int look_at_edn(struct comparing *c, struct entity_id id, struct side *side)
{
	struct memory *m = c->v->m;
	const struct ednfile *file = c->disk ? c->disk : m->file;
	bool collection = !id.member.ptr && ednfile_is_collection(file, id.key);
	struct tree_node *node = NULL;
	struct slice text;
	int ret = c->disk ? 0 : memory_find_node(m, id, collection, &node);

	*side = (struct side){.identity = IDENTITY_ABSENT};
	/* what is deleted stays in the file until that is rewritten */
	if (ret || (!c->disk && !node))
		return ret;
	if (collection) {
		side->identity = IDENTITY_COLLECTION;
		return 0;
	}
	ret = memory_entity_text(file, id, false, &text);
	if (!ret)
		side->text = text;
	return ret == -ENOENT ? 0 : ret;
}

/* -EIO: damaged. */
static int look_at_eav(struct eav_reader *reader, struct slice name, struct eav_record *record,
	struct side *side)
{
	int ret = eav_get(reader, name, record);

	*side = (struct side){.identity = IDENTITY_ABSENT};
	if (ret == -ENOENT || (!ret && record->deleted))
		return 0;
	if (!ret)
		side->identity = record->collection ? IDENTITY_COLLECTION : record->identity;
	return ret;
}

/* The text that was hashed when the record was written is that value; any other is read. */
static int identify(struct comparing *c, struct side *edn, const struct eav_record *record)
{
	if (record && hash128_equal(hash128(edn->text.ptr, edn->text.len), record->text_hash)) {
		edn->identity = record->identity;
		return 0;
	}
	c->bytes += edn->text.len;
	return memory_text_identity(c->v->m, edn->text, &edn->identity);
}

static bool is_absent(const struct side *side)
{
	return !side->text.ptr && hash128_equal(side->identity, IDENTITY_ABSENT);
}

static int tell(struct comparing *c, struct slice name, const struct side *edn,
	const struct side *eav)
{
	enum validation_kind kind = is_absent(edn)   ? VALIDATION_ONLY_EAV
				    : is_absent(eav) ? VALIDATION_ONLY_EDN
						     : VALIDATION_DIFFERENT;
	static const char *const DETAILS[] = {
		[VALIDATION_ONLY_EDN] = "it is in memory.edn, and not in the EAV store",
		[VALIDATION_ONLY_EAV] = "it is in the EAV store, and not in memory.edn",
		[VALIDATION_DIFFERENT] = "memory.edn and the EAV store hold different values",
	};

	return validator_found(c->v, kind, name, SLICE_LITERAL(""), DETAILS[kind]);
}

static int compare_one(struct comparing *c, struct eav_reader *reader, struct slice name,
	bool first, enum outcome *outcome)
{
	struct side edn, eav;
	struct eav_record record;
	struct entity_id id;
	int ret;

	*outcome = SAME;
	if (!entity_id_of_name(name, &id))
		return 0; /* which the look at the index tells */
	if (table_get(&c->v->m->overlay, name)) {
		*outcome = c->last ? SAME : AGAIN;
		return 0;
	}
	ret = look_at_edn(c, id, &edn);
	if (ret)
		return ret;
	ret = look_at_eav(reader, name, &record, &eav);
	if (ret)
		return ret == -EIO ? 0 : ret; /* likewise */
	if (edn.text.ptr && !is_absent(&eav))
		ret = identify(c, &edn, &record);
	if (ret)
		return ret;
	if (is_absent(&edn) ? is_absent(&eav)
			    : !is_absent(&eav) && hash128_equal(edn.identity, eav.identity))
		return 0;
	*outcome = first ? AGAIN : DIFFERENT;
	return first ? 0 : tell(c, name, &edn, &eav);
}

/* ---- pieces ---- */

/* Of a store that fails or is being brought up: the flush thread's next attempt may have it ready. */
int validator_lock(struct validator *v, struct err *err)
{
	struct memory *m = v->m;

	for (int i = 0; i < READY_TRIES; i++) {
		if (atomic_load(&v->stop))
			return -ECANCELED;
		pthread_rwlock_rdlock(&m->lock);
		if (m->eav.store && atomic_load(&m->eav.state) == EAV_READY)
			return 0;
		pthread_rwlock_unlock(&m->lock);
		if (!mode_row((enum mode)atomic_load(&m->mode))->writes_eav)
			return err_set(err, -ENODEV, "the EAV store was closed meanwhile");
		pace_sync(&m->flush.pace, NULL);
	}
	return memory_eav_reason(m, err);
}

static int note_again(struct comparing *c, size_t at)
{
	if (c->again_count % 1024 == 0) {
		size_t *again = reallocarray(c->again, c->again_count + 1024, sizeof(*again));

		if (!again)
			return -ENOMEM;
		c->again = again;
	}
	c->again[c->again_count++] = at;
	return 0;
}

/*
 * Names [*at, end), or those that `of` names, as far as one piece goes. The first time what differs is noted for
 * another; then what is pending is.
 */
static int compare_piece(struct comparing *c, const size_t *of, size_t *at, size_t end,
	struct err *err)
{
	struct memory *m = c->v->m;
	size_t stop = end - *at > PIECE_ENTITIES ? *at + PIECE_ENTITIES : end;
	struct eav_reader reader;
	int ret = validator_lock(c->v, err);

	if (ret)
		return ret;
	if (m->edn_active == (c->disk != NULL))
		ret = err_set(err, -EBUSY, "the mode was switched meanwhile");
	if (!ret)
		ret = eav_read_begin(m->eav.store, &reader);
	if (ret) {
		pthread_rwlock_unlock(&m->lock);
		return ret;
	}
	for (c->bytes = 0; !ret && *at < stop && c->bytes < PIECE_BYTES; (*at)++) {
		size_t i = of ? of[*at] : *at;
		enum outcome outcome;

		ret = compare_one(c, &reader, names_at(&c->names, i), !of, &outcome);
		if (!ret && outcome == AGAIN)
			ret = note_again(c, i);
		else
			c->compared++;
	}
	eav_read_end(&reader);
	pthread_rwlock_unlock(&m->lock);
	validator_count(c->v, c->names.count, c->compared);
	return ret;
}

static int compare_names(struct comparing *c, const size_t *of, size_t count, struct err *err)
{
	size_t at = 0;
	int ret = 0;

	while (!ret && at < count) {
		ret = compare_piece(c, of, &at, count, err);
		memory_resident_trim_background(c->v->m);
		background_make_way(&c->v->m->attention);
	}
	return ret;
}

/* ---- rounds ---- */

static int compare_again(struct comparing *c, struct err *err)
{
	int ret = 0;

	for (int round = 1; !ret && c->again_count; round++) {
		size_t *of = c->again;
		size_t count = c->again_count;

		c->again = NULL;
		c->again_count = 0;
		c->last = round == ROUNDS;
		pace_sync(&c->v->m->flush.pace, NULL);
		ret = compare_names(c, of, count, err);
		free(of);
	}
	return ret;
}

/* In a mode that leaves memory.edn alone. */
static int load_disk(struct comparing *c, struct err *err)
{
	struct memory *m = c->v->m;
	struct ednfile_options options = {.max_depth = EDN_LOAD_DEPTH,
		.schema = m->options.schema,
		.resolved = true,
		.exactly = true};
	struct err reason = {0};
	bool active;
	int ret;

	pthread_rwlock_rdlock(&m->lock);
	active = m->edn_active;
	pthread_rwlock_unlock(&m->lock);
	if (active)
		return 0;
	ret = ednfile_open(&c->disk, m->edn_path, &options, &reason);
	if (!ret)
		return 0;
	if (reason.line)
		return err_set(err, ret, "memory.edn:%u:%u: %.150s", reason.line, reason.column,
			reason.text);
	return err_set(err, ret, "memory.edn: %.150s",
		reason.text[0] ? reason.text : strerror(-ret));
}

int validator_compare(struct validator *v, struct err *err)
{
	struct comparing c = {.v = v};
	int ret = validator_lock(v, err);

	if (ret)
		return ret;
	pthread_rwlock_unlock(&v->m->lock);
	ret = load_disk(&c, err);
	if (!ret)
		ret = names_gather(&c.names, v->m, c.disk);
	if (!ret) {
		validator_count(v, c.names.count, 0);
		ret = compare_names(&c, NULL, c.names.count, err);
	}
	if (!ret)
		ret = compare_again(&c, err);
	names_release(&c.names);
	ednfile_free(c.disk);
	free(c.again);
	return ret;
}
