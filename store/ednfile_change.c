/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "ednfile_private.h"

/* Where an entry is, or would be: the file's map, or with a member the key's. */
struct place {
	struct ednmap *map;
	uint32_t parent; /* the collection's entry, 0 at the top level */
	uint32_t at;
	int found; /* 0 or -ENOENT */
	struct ednkey key;
};

static void place_release(struct place *place)
{
	ednkey_release(&place->key);
}

/* -ENOENT here: there is no such collection (and *place is empty). */
static int place_find(struct ednfile *file, struct slice key, struct slice member,
	struct place *place)
{
	int ret;

	*place = (struct place){.map = &file->map};
	ret = ednkey_init(&place->key, &file->pool, key);
	if (!ret && member.ptr) {
		ret = ednmap_find(&file->map, &place->key, &place->parent);
		if (!ret && file->map.entries[place->parent].type != EDN_MAP)
			ret = -ENOTDIR;
		if (!ret) {
			place->map = ednmap_child(&file->map, place->parent);
			ret = place->map ? 0 : -ENOMEM;
		}
		ednkey_release(&place->key);
		if (!ret)
			ret = ednkey_init(&place->key, &file->pool, member);
	}
	if (ret)
		return ret;
	place->found = ednmap_find(place->map, &place->key, &place->at);
	if (place->found && place->found != -ENOENT) {
		ret = place->found;
		place_release(place);
	}
	return ret;
}

/* A collection's entry follows its members: its text is another, and so may be what is unreadable. */
static void place_changed(struct ednfile *file, const struct place *place)
{
	struct ednmap *map = &file->map;
	struct ednentry *entry = &map->entries[place->parent];
	struct ednpair pair;
	struct ednkey key;
	bool unreadable = place->map->unreadable > 0;

	if (!place->parent)
		return;
	entry->slot = 0;
	if (!unreadable && entry->unreadable &&
		!ednkey_read(&key, &file->pool, map->prefix, ednentry_key(entry))) {
		unreadable = ednpair_check(map, key.text, SLICE_LITERAL("nil"), &pair, NULL) ||
			     pair.unreadable;
		ednkey_release(&key);
	}
	ednmap_set_unreadable(map, place->parent, unreadable);
}

static bool has_text(const struct place *place, struct slice text)
{
	struct slice now;

	return !ednmap_value(place->map, place->at, &now) && slice_equal(now, text);
}

/* Sets an entry that is there, or appends it. */
static int place_set(struct ednfile *file, struct place *place, struct slice text, struct err *err)
{
	struct ednblock *value;
	struct ednpair pair;
	int ret = ednpair_check(place->map, place->key.text, text, &pair, err);

	if (ret)
		return ret;
	if (place->found && ednmap_conflict(place->map, &place->key, 0))
		return err_set(err, -EEXIST, "a key that Clojure takes for the same is there");
	if (!place->found && has_text(place, pair.value))
		return 0;
	value = ednblock_copy(&file->pool, pair.value);
	if (!value)
		return err_set(err, -ENOMEM, "out of memory");
	if (place->found)
		ret = ednmap_append(place->map, &place->key, value, &pair);
	else
		ret = ednmap_strip_value(place->map, place->at);
	if (ret) {
		ednblock_drop(&file->pool, value);
		return err_set(err, ret, "%s", strerror(-ret));
	}
	if (!place->found)
		ednmap_set_value(place->map, place->at, value, &pair);
	place_changed(file, place);
	return 0;
}

/* A member of a key that does not exist makes the key. */
static int make_collection(struct ednfile *file, struct slice key, struct slice member,
	struct slice text, struct err *err)
{
	struct buf map = BUF_INIT;
	struct ednpair pair;
	struct place place;
	struct ednmap inner = {.pool = &file->pool, .depth = 1};
	int ret = ednpair_check(&inner, member, text, &pair, err);

	if (ret)
		return ret;
	buf_add_char(&map, '{');
	buf_add_slice(&map, member);
	buf_add_char(&map, ' ');
	buf_add_slice(&map, pair.value);
	buf_add_char(&map, '}');
	ret = buf_error(&map);
	if (!ret)
		ret = place_find(file, key, slice_of(NULL, 0), &place);
	if (!ret) {
		ret = place_set(file, &place, buf_slice(&map), err);
		place_release(&place);
	}
	buf_release(&map);
	return ret;
}

static int bad_place(int ret, struct err *err)
{
	switch (ret) {
	case -ENOTDIR:
		return err_set(err, ret, "the key's value is no map, so it has no members");
	case -EBADMSG:
		return err_set(err, ret, "the key is not readable EDN");
	default:
		return err_set(err, ret, "%s", strerror(-ret));
	}
}

int ednfile_put(struct ednfile *file, struct slice key, struct slice member, struct slice text,
	struct err *err)
{
	struct place place;
	int ret = place_find(file, key, member, &place);

	if (ret == -ENOENT)
		return make_collection(file, key, member, text, err);
	if (ret)
		return bad_place(ret, err);
	ret = place_set(file, &place, text, err);
	place_release(&place);
	return ret;
}

int ednfile_delete(struct ednfile *file, struct slice key, struct slice member)
{
	struct place place;
	int ret = place_find(file, key, member, &place);

	if (ret)
		return ret == -ENOMEM ? ret : -ENOENT;
	ret = place.found;
	if (!ret) {
		ednmap_remove(place.map, place.at);
		place_changed(file, &place);
	}
	place_release(&place);
	return ret;
}

/* ---- two places ---- */

/* An entry that is there, or the reason why not in err. */
static int find_entry(struct ednfile *file, struct slice key, struct slice member,
	struct place *place, struct err *err)
{
	int ret = place_find(file, key, member, place);

	if (!ret && place->found) {
		place_release(place);
		ret = -ENOENT;
	}
	return ret == -ENOMEM ? bad_place(ret, err) : ret ? bad_place(-ENOENT, err) : 0;
}

/* The same entry, or one the collection that the other is in. */
static bool same_or_nested(struct slice key, struct slice member, struct slice other_key,
	struct slice other_member)
{
	return slice_equal(key, other_key) &&
	       (!member.ptr || !other_member.ptr || slice_equal(member, other_member));
}

/* Within one map the entry stays where it is and gets another key. */
static int rekey(struct ednfile *file, struct place *from, struct place *to, struct err *err)
{
	struct ednpair pair;
	struct slice text;
	int ret;

	if (ednmap_conflict(from->map, &to->key, from->at))
		return err_set(err, -EEXIST, "a key that Clojure takes for the same is there");
	ret = ednmap_value(from->map, from->at, &text);
	if (!ret)
		ret = ednpair_check(from->map, to->key.text, text, &pair, err);
	if (!ret)
		ret = ednmap_rekey(from->map, from->at, &to->key);
	if (ret)
		return ret == -EBADMSG ? ret : err_set(err, ret, "%s", strerror(-ret));
	ednmap_set_unreadable(from->map, from->at, pair.unreadable);
	place_changed(file, from);
	return 0;
}

static int copy_value(const struct place *place, struct buf *text)
{
	struct slice value;
	int ret = ednmap_value(place->map, place->at, &value);

	if (!ret)
		buf_add_slice(text, value);
	return ret ? ret : buf_error(text);
}

int ednfile_rename(struct ednfile *file, struct slice key, struct slice member, struct slice to_key,
	struct slice to_member, struct err *err)
{
	struct buf value = BUF_INIT;
	struct place from;
	struct place to;
	bool apart = false;
	int ret = find_entry(file, key, member, &from, err);

	if (ret)
		return ret;
	if (same_or_nested(key, member, to_key, to_member)) {
		if (!member.ptr != !to_member.ptr)
			ret = err_set(err, member.ptr ? -EEXIST : -EINVAL, "one is in the other");
		place_release(&from);
		return ret;
	}
	ret = place_find(file, to_key, to_member, &to);
	if (!ret && !to.found)
		ret = err_set(err, -EEXIST, "the target exists");
	else if (ret == -ENOENT || (!ret && from.map != to.map))
		apart = true;
	else
		ret = ret ? bad_place(ret, err) : rekey(file, &from, &to, err);
	if (apart)
		ret = copy_value(&from, &value);
	place_release(&from);
	place_release(&to);
	if (apart && !ret)
		ret = ednfile_put(file, to_key, to_member, buf_slice(&value), err);
	if (apart && !ret)
		ret = ednfile_delete(file, key, member);
	buf_release(&value);
	return ret;
}

/* What a place gets in an exchange: the other's value, as it would be there. */
struct incoming {
	struct buf text;
	struct ednpair pair;
	struct ednblock *block;
};

static int prepare_incoming(struct ednfile *file, const struct place *place,
	const struct place *other, struct incoming *in, struct err *err)
{
	int ret = copy_value(other, &in->text);

	if (!ret)
		ret = ednpair_check(place->map, place->key.text, buf_slice(&in->text), &in->pair,
			err);
	if (!ret)
		ret = ednmap_strip_value(place->map, place->at);
	if (!ret) {
		in->block = ednblock_copy(&file->pool, in->pair.value);
		ret = in->block ? 0 : -ENOMEM;
	}
	return ret == 0 || ret == -EBADMSG ? ret : err_set(err, ret, "%s", strerror(-ret));
}

static int exchange(struct ednfile *file, struct place *a, struct place *b, struct err *err)
{
	struct incoming to_a = {.text = BUF_INIT};
	struct incoming to_b = {.text = BUF_INIT};
	int ret = prepare_incoming(file, a, b, &to_a, err);

	if (!ret)
		ret = prepare_incoming(file, b, a, &to_b, err);
	if (!ret) {
		ednmap_set_value(a->map, a->at, to_a.block, &to_a.pair);
		ednmap_set_value(b->map, b->at, to_b.block, &to_b.pair);
		place_changed(file, a);
		place_changed(file, b);
	} else {
		ednblock_drop(&file->pool, to_a.block);
		ednblock_drop(&file->pool, to_b.block);
	}
	buf_release(&to_a.text);
	buf_release(&to_b.text);
	return ret;
}

int ednfile_exchange(struct ednfile *file, struct slice key, struct slice member,
	struct slice other_key, struct slice other_member, struct err *err)
{
	struct place a;
	struct place b;
	int ret = find_entry(file, key, member, &a, err);

	if (ret)
		return ret;
	ret = find_entry(file, other_key, other_member, &b, err);
	if (ret) {
		place_release(&a);
		return ret;
	}
	if (!same_or_nested(key, member, other_key, other_member))
		ret = exchange(file, &a, &b, err);
	else if (!member.ptr != !other_member.ptr)
		ret = err_set(err, -EINVAL, "one is in the other");
	place_release(&a);
	place_release(&b);
	return ret;
}
