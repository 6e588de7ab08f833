/* SPDX-License-Identifier: MIT */
#include "memory_internal.h"

#include <errno.h>
#include <stdlib.h>

static int out_of_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

/* The node of a key's document, or of its directory. */
static struct tree_node *node_of_key(struct memory *m, struct slice key, bool directory)
{
	struct buf path = BUF_INIT;
	struct tree_node *node = NULL;

	if (memory_id_path(m, (struct entity_id){.key = key}, directory, &path) == 0)
		tree_find(m->tree, buf_slice(&path), &node);
	buf_release(&path);
	return node && !node->dir == !directory ? node : NULL;
}

/*
 * A new member below a directory whose own name is cut: the key is the directory's, and the name says the
 * member as it would in any directory of that pattern ("presence/x/").
 */
static int parse_below_cut(struct memory *m, struct slice path, struct doc *doc)
{
	const char *slash = memrchr(path.ptr, '/', path.len);
	struct tree_node *parent = NULL;
	const struct schema_row *row;
	struct buf like = BUF_INIT;
	int ret = 0;

	if (slash)
		ret = tree_find(m->tree, slice_of(path.ptr, (size_t)(slash - path.ptr)), &parent);
	if (ret && ret != -ENOENT)
		return ret;
	if (!parent || !parent->dir || !parent->dir->keyed)
		return -EINVAL;
	row = schema_collection(m->options.schema, memory_keyword(tree_id(parent)));
	if (!row)
		return -EINVAL;
	for (const char *c = row->pattern; *c; c++) {
		if (*c != '*')
			buf_add_char(&like, *c);
		else if (c[1] != '*')
			buf_add_char(&like, 'x');
	}
	buf_add(&like, slash, path.len - (size_t)(slash - path.ptr));
	ret = buf_error(&like);
	if (!ret)
		ret = path_parse(m->options.schema, buf_slice(&like), &doc->place, NULL);
	buf_release(&like);
	if (ret)
		return ret;
	if (doc->place.kind != PATH_MEMBER)
		return -EINVAL;
	doc->id = (struct entity_id){tree_id(parent), buf_slice(&doc->place.member)};
	return 0;
}

static int parse_new(struct memory *m, struct slice path, struct doc *doc, struct err *err)
{
	struct path_place *place = &doc->place;
	int ret = path_parse(m->options.schema, path, place, err);

	if (ret)
		return ret;
	switch (place->kind) {
	case PATH_DOCUMENT:
		doc->id = (struct entity_id){.key = buf_slice(&place->key)};
		break;
	case PATH_MEMBER:
		doc->id = (struct entity_id){buf_slice(&place->key), buf_slice(&place->member)};
		break;
	case PATH_NONE:
		return -EINVAL;
	case PATH_CUT:
		ret = parse_below_cut(m, path, doc);
		if (ret == -EINVAL)
			err_set(err, ret, "a shortened name can't be made, only found");
		if (ret)
			return ret;
		break;
	default:
		return err_set(err, -EINVAL, "the name of a document ends in .json");
	}
	entity_id_name(&doc->name, doc->id);
	return buf_error(&doc->name) ? out_of_memory(err) : 0;
}

static int check_new(struct memory *m, const struct doc *doc, struct err *err)
{
	struct slice key = doc->id.key;
	struct slice member = doc->id.member;
	bool collection = schema_collection(m->options.schema, memory_keyword(key)) != NULL;
	struct tree_node *dir = collection ? node_of_key(m, key, true) : NULL;
	bool key_there = dir && dir->dir->keyed;

	if (!key_there && !held_has_key(m, key))
		return err_set(err, -EINVAL,
			"Ouroboros could not read memory.edn with the key %.*s in it",
			(int)(key.len < 100 ? key.len : 100), key.ptr);
	if (member.ptr && !held_has_key(m, member))
		return err_set(err, -EINVAL,
			"Ouroboros could not read memory.edn with the member %.*s in it",
			(int)(member.len < 100 ? member.len : 100), member.ptr);
	if (!member.ptr && key_there)
		return err_set(err, -EISDIR, "that key is a directory");
	if (member.ptr && node_of_key(m, key, false))
		return err_set(err, -ENOTDIR, "the key holds a value that is no map");
	return 0;
}

int target_resolve(struct memory *m, struct slice path, struct target *t, struct err *err)
{
	int ret = doc_find(m, path, &t->doc);

	if (ret == -EISDIR)
		return err_set(err, ret, "that is a directory");
	if (!ret) {
		t->exists = true;
		ret = doc_load(m, &t->doc);
		return ret ? err_set(err, ret, "cannot load the document: %s", strerror(-ret)) : 0;
	}
	if (ret != -ENOENT)
		return err_set(err, ret, "%s", strerror(-ret));
	ret = parse_new(m, path, &t->doc, err);
	return ret ? ret : check_new(m, &t->doc, err);
}

/*
 * Only numbers and compound keys can be equal to a key of another text: 1 and 1N, [1] and (1). The file's index
 * knows; it is asked by trying.
 */
int target_check_free(struct memory *m, const struct target *t, struct err *err)
{
	struct entity_id id = t->doc.id;
	struct slice text = id.member.ptr ? id.member : id.key;
	int ret;

	if (t->exists || !text.len || !strchr("+-0123456789([{#", text.ptr[0]))
		return 0;
	if (id.member.ptr && !ednfile_is_collection(m->file, id.key))
		return 0;
	/* in the file as its own ghost: nothing there is equal to it */
	if (table_get(&m->ghosts, buf_slice(&t->doc.name)))
		return 0;
	ret = ednfile_put(m->file, id.key, id.member, SLICE_LITERAL("nil"), NULL);
	if (ret == -EEXIST) {
		/* perhaps a ghost's key: these go, but only now, for with them goes their place */
		ret = memory_flush_ghosts(m);
		if (!ret)
			ret = ednfile_put(m->file, id.key, id.member, SLICE_LITERAL("nil"), err);
	}
	if (ret && ret != -EEXIST)
		return err_set(err, ret, "%s", strerror(-ret));
	if (!ret)
		ret = ednfile_delete(m->file, id.key, id.member);
	return ret;
}

int target_check_value(struct memory *m, const struct target *t, bool is_map, struct err *err)
{
	if (!is_map || t->doc.id.member.ptr ||
		!schema_collection(m->options.schema, memory_keyword(t->doc.id.key)))
		return 0;
	return err_set(err, -EISDIR,
		"a map under that key is a directory: make it with mkdir, its members as files");
}
