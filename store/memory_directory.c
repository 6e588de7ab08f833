/* SPDX-License-Identifier: MIT */
#include "memory_event.h"
#include "memory_rename.h"

#include <errno.h>

/* A directory's rename on its way: one record of many changes. */
struct move {
	struct memory *m;
	struct slice from, to;
	struct tree_node *top;
	struct buf old_path, new_path; /* of the node at hand */
	struct path_place place;       /* of new_path, directories only */
	struct buf payload;
	struct err *err;
};

static int set_paths(struct move *move, const struct tree_node *node)
{
	buf_reset(&move->old_path);
	buf_reset(&move->new_path);
	tree_path(node, &move->old_path);
	if (buf_error(&move->old_path))
		return -ENOMEM;
	buf_add_slice(&move->new_path, move->to);
	buf_add(&move->new_path, move->old_path.ptr + move->from.len,
		move->old_path.len - move->from.len);
	return buf_error(&move->new_path);
}

static int parse_directory(struct move *move, const struct tree_node *node)
{
	int ret = set_paths(move, node);

	if (!ret)
		ret = path_parse(move->m->options.schema, buf_slice(&move->new_path), &move->place,
			move->err);
	if (!ret && move->place.kind != PATH_DIRECTORY)
		ret = err_set(move->err, -EXDEV, "no key has a path like the new one");
	return ret;
}

/* move->place is where the collection at node goes. */
static bool can_be_key(const struct move *move, const struct tree_node *node)
{
	const struct path_place *place = &move->place;

	if (place->lenient && !held_has_key(move->m, buf_slice(&place->key)))
		return false;
	return place->collection || tree_has_documents(node);
}

/* Documents that were keys of their own may become members. */
static int encode_new_collection(struct move *move, const struct tree_node *node)
{
	int ret = tree_has_documents(node) ? parse_directory(move, node) : 0;

	if (ret || !tree_has_documents(node) || !move->place.collection)
		return ret;
	return memory_encode_collection(move->m, &move->payload, buf_slice(&move->place.key));
}

/* Where the same name is another member's, it does not: as a keyword and as a string. */
static bool wanders_whole(const struct move *move, const struct tree_node *node)
{
	const struct schema *schema = move->m->options.schema;
	const struct schema_row *from = schema_collection(schema, memory_keyword(tree_id(node)));
	const struct schema_row *to =
		schema_collection(schema, memory_keyword(buf_slice(&move->place.key)));

	return move->place.collection && from && to && from->member == to->member;
}

/* An empty collection makes room for a directory that is none. */
static int encode_replaced(struct move *move)
{
	struct change c = {.kind = CHANGE_UNKEY};
	struct tree_node *there;
	int ret = tree_find(move->m->tree, move->to, &there);

	if (ret || !there->dir->keyed || move->top->dir->keyed || tree_has_documents(move->top))
		return ret == -ENOENT ? 0 : ret;
	c.id.key = tree_id(there);
	return memory_encode(move->m, &move->payload, &c);
}

/* Collections wander whole where the new name is a collection's, too. */
static int encode_collections(struct move *move, bool hints)
{
	struct tree_node *node = move->top;
	int ret = 0;

	for (; node && !ret; node = tree_next(move->top, node)) {
		struct change c = {.kind = CHANGE_MOVE};

		if (node->dir && !node->dir->keyed && !hints)
			ret = encode_new_collection(move, node);
		if (!node->dir || !node->dir->keyed)
			continue;
		ret = parse_directory(move, node);
		if (ret)
			break;
		if (!can_be_key(move, node))
			ret = err_set(move->err, -EXDEV, "no key has a path like the new one");
		if (ret)
			break;
		c.id.key = buf_slice(&move->place.key);
		c.from.key = tree_id(node);
		if (hints) {
			if (wanders_whole(move, node))
				ret = memory_encode(move->m, &move->payload, &c);
			continue;
		}
		c.kind = CHANGE_COLLECTION;
		c.from.key = slice_of(NULL, 0);
		if (move->place.collection)
			ret = memory_encode(move->m, &move->payload, &c);
		c.kind = CHANGE_UNKEY;
		c.id.key = tree_id(node);
		ret = ret ? ret : memory_encode(move->m, &move->payload, &c);
	}
	return ret;
}

static int encode_document(struct move *move, struct tree_node *node)
{
	struct memory *m = move->m;
	struct doc doc = DOC_INIT;
	struct target target = TARGET_INIT;
	struct change c;
	int ret = set_paths(move, node);

	if (!ret)
		ret = target_resolve(m, buf_slice(&move->new_path), &target, move->err);
	if (!ret)
		ret = target_check_free(m, &target, move->err);
	if (!ret)
		ret = doc_id(m, node, &doc);
	if (!ret)
		ret = doc_load(m, &doc);
	if (!ret)
		ret = rename_check(m, &doc, &target, move->err);
	if (ret == -EINVAL || ret == -EISDIR)
		ret = -EXDEV;
	if (!ret)
		ret = rename_fill_put(m, &c, &doc, target.doc.id);
	if (!ret) {
		c.from = doc.id;
		ret = memory_check_keys(&c, 1, move->err);
		ret = ret ? ret : memory_encode(move->m, &move->payload, &c);
		c = (struct change){.kind = CHANGE_DELETE, .id = doc.id};
		ret = ret ? ret : memory_encode(move->m, &move->payload, &c);
	}
	target_release(&target);
	doc_release(&doc);
	return ret;
}

static int encode_documents(struct move *move)
{
	struct tree_node *node = move->top;
	int ret = 0;

	for (; node && !ret; node = tree_next(move->top, node)) {
		if (!node->dir)
			ret = encode_document(move, node);
	}
	return ret;
}

static int encode_directories(struct move *move)
{
	struct memory *m = move->m;
	struct tree_node *node = move->top;
	int ret = 0;

	for (; node && !ret; node = tree_next(move->top, node)) {
		struct change c = {.kind = CHANGE_DIRECTORY};

		if (!node->dir)
			continue;
		ret = set_paths(move, node);
		if (ret)
			break;
		c.id.key = buf_slice(&move->new_path);
		c.has_mode = node->dir->has_mode;
		c.saved.mode = node->dir->mode;
		c.saved.has_mtime = true;
		c.saved.mtime = node->dir->has_mtime ? node->dir->mtime : m->first_seen;
		c.saved.ino = memory_directory_ino(m, node);
		ret = ret ? ret : memory_encode(move->m, &move->payload, &c);
	}
	return ret;
}

static int check_directories(struct move *move)
{
	const struct tree *tree = move->m->tree;
	struct slice below = move->to;
	struct tree_node *there;
	int ret = tree_find(tree, move->to, &there);

	if (ret && ret != -ENOENT)
		return ret;
	if (!move->top->dir)
		return -ENOTDIR;
	if (!move->top->parent || move->to.len == 0)
		return -EBUSY;
	if (slice_starts(below, move->from) && below.len > move->from.len &&
		below.ptr[move->from.len] == '/')
		return err_set(move->err, -EINVAL, "a directory can't move into itself");
	if (there && !there->dir)
		return -ENOTDIR;
	ret = tree_load_below(tree, move->top);
	if (!ret && there)
		ret = tree_load(tree, there);
	if (ret)
		return ret;
	if (there && there->dir->child_count)
		return -ENOTEMPTY;
	ret = path_parse(move->m->options.schema, move->to, &move->place, move->err);
	if (!ret && move->place.kind != PATH_DIRECTORY)
		ret = err_set(move->err, -EINVAL, "no key has a path like the new one");
	return ret;
}

static int rename_directory(struct memory *m, struct slice from, struct slice to, struct err *err)
{
	struct move move = {.m = m, .from = from, .to = to, .err = err};
	int ret = 0;

	if (m->options.read_only)
		return err_set(err, -EROFS, "mounted read-only");
	pthread_rwlock_wrlock(&m->lock);
	ret = tree_find(m->tree, from, &move.top);
	if (!ret && (!slice_equal(from, to) || !move.top->dir)) {
		ret = check_directories(&move);
		if (!ret)
			ret = encode_replaced(&move);
		if (!ret)
			ret = encode_collections(&move, true);
		if (!ret)
			ret = encode_documents(&move);
		if (!ret)
			ret = encode_collections(&move, false);
		if (!ret)
			ret = encode_directories(&move);
		if (!ret)
			ret = memory_commit_payload(m, JOURNAL_RENAME_DIRECTORY, &move.payload,
				memory_now(), err);
	}
	pthread_rwlock_unlock(&m->lock);
	buf_release(&move.old_path);
	buf_release(&move.new_path);
	buf_release(&move.payload);
	path_place_release(&move.place);
	return rename_explain(err, ret);
}

int memory_rename_directory(struct memory *m, struct slice from, struct slice to, struct err *err)
{
	struct memory_done done = {
		.name = "memory/rename", .path = from, .to = to, .start_ms = memory_clock_ms()};

	done.ret = rename_directory(m, from, to, err);
	memory_tell_done(m, &done);
	return done.ret;
}

static int remove_directory(struct memory *m, struct slice path, struct err *err)
{
	struct change c = {.kind = CHANGE_UNKEY};
	struct tree_node *node;
	int ret;

	if (m->options.read_only)
		return err_set(err, -EROFS, "mounted read-only");
	pthread_rwlock_wrlock(&m->lock);
	ret = tree_find(m->tree, path, &node);
	if (!ret)
		ret = tree_load(m->tree, node);
	if (ret)
		;
	else if (!node->dir)
		ret = -ENOTDIR;
	else if (!node->parent)
		ret = -EBUSY;
	else if (node->dir->child_count)
		ret = -ENOTEMPTY;
	else {
		c.id.key = tree_id(node);
		ret = memory_commit(m, &c, 1, memory_now(), err);
	}
	pthread_rwlock_unlock(&m->lock);
	return rename_explain(err, ret);
}

int memory_remove_directory(struct memory *m, struct slice path, struct err *err)
{
	struct memory_done done = {
		.name = "memory/delete", .path = path, .start_ms = memory_clock_ms()};

	done.ret = remove_directory(m, path, err);
	memory_tell_done(m, &done);
	return done.ret;
}
