/* SPDX-License-Identifier: MIT */
#include "path.h"

#include <errno.h>

#include "path_name.h"

/*
 * A walk over the names of a path. place->key gathers ":" and the keyword text of the directories
 * passed so far; whether that is a keyword is asked once, at the end.
 */
struct walk {
	const struct schema *schema;
	struct slice path;
	struct path_place *place;
	struct err *reason;
	bool foreign; /* some directory so far is no keyword's: only scratch is below it */
	bool cut;     /* some directory so far is cut: only existing keys tell what it is */
};

static const char NO_KEYWORD[] = "no keyword has a text like this directory";

/* Reasons are built only where they are returned, so this settles the kind as well. */
static int settle(struct walk *walk, enum path_kind kind)
{
	walk->place->kind = kind;
	if (kind == PATH_NONE || kind == PATH_SCRATCH || kind == PATH_CUT) {
		buf_reset(&walk->place->key);
		buf_reset(&walk->place->member);
		walk->place->collection = false;
		walk->place->lenient = false;
	}
	return 0;
}

static int none(struct walk *walk, const char *why)
{
	if (why)
		err_set(walk->reason, -EINVAL, "%s", why);
	return settle(walk, PATH_NONE);
}

/* The text means a key, and printed is its own name. */
static int not_own(struct walk *walk, const struct buf *printed)
{
	bool whole = printed->len <= 120;

	err_set(walk->reason, -EINVAL, "the name of that key is %.*s%s",
		(int)(whole ? printed->len : 120), printed->ptr, whole ? "" : "...");
	return settle(walk, PATH_NONE);
}

static const char *name_fault(struct slice name)
{
	if (name.len == 0)
		return "the path holds an empty name";
	if (name.len > PATH_NAME_MAX)
		return "a name is longer than 255 bytes";
	if (slice_equal(name, SLICE_LITERAL(".")) || slice_equal(name, SLICE_LITERAL("..")))
		return "the path holds . or ..";
	if (memchr(name.ptr, '\0', name.len))
		return "a name holds a NUL byte";
	return NULL;
}

/* The first name of rest; rest becomes what is behind its slash, last says that there was none. */
static struct slice next_name(struct slice *rest, bool *last)
{
	const char *slash = memchr(rest->ptr, '/', rest->len);
	struct slice name = slice_of(rest->ptr, slash ? (size_t)(slash - rest->ptr) : rest->len);

	*last = slash == NULL;
	if (slash)
		*rest = slice_of(slash + 1, rest->len - name.len - 1);
	return name;
}

static const char *path_fault(struct slice path)
{
	const char *fault = NULL;
	bool last = false;

	while (!last && !fault)
		fault = name_fault(next_name(&path, &last));
	return fault;
}

static struct slice keyword_so_far(const struct walk *walk)
{
	return slice_of(walk->place->key.ptr + 1, walk->place->key.len - 1);
}

static void add_segment(struct walk *walk, const char *text, size_t len)
{
	if (walk->place->key.len > 1)
		buf_add_char(&walk->place->key, '/');
	buf_add(&walk->place->key, text, len);
}

/* A directory's name goes to the keyword; false (with the reason) where it is no keyword's. */
static bool add_directory(struct walk *walk, struct slice name)
{
	char text[PATH_NAME_MAX];
	size_t len;

	if (path_name_is_cut(name)) {
		walk->cut = true;
		return true;
	}
	if (path_name_read_directory(name, text, &len, walk->reason) < 0)
		return false;
	add_segment(walk, text, len);
	return true;
}

/* ---- the last name ---- */

/* Only existing keys tell what it is; but what is known of the keyword must be one token. */
static int finish_cut(struct walk *walk, enum path_kind otherwise)
{
	if (buf_error(&walk->place->key))
		return -ENOMEM;
	if (walk->place->key.len == 1 || edn_is_lenient_keyword(keyword_so_far(walk)))
		return settle(walk, PATH_CUT);
	return otherwise == PATH_NONE ? none(walk, NO_KEYWORD) : settle(walk, otherwise);
}

static int finish_directory(struct walk *walk, struct slice name)
{
	struct path_place *place = walk->place;
	struct slice keyword;

	if (walk->foreign || !add_directory(walk, name))
		return settle(walk, PATH_SCRATCH);
	if (walk->cut)
		return finish_cut(walk, PATH_SCRATCH);
	if (buf_error(&place->key))
		return -ENOMEM;
	keyword = keyword_so_far(walk);
	place->collection = schema_collection(walk->schema, keyword) != NULL;
	if (!edn_is_keyword(keyword)) {
		if (!edn_is_lenient_keyword(keyword))
			return settle(walk, PATH_SCRATCH);
		place->lenient = place->collection;
	}
	return settle(walk, PATH_DIRECTORY);
}

/* The directories' keyword and the last name's text together are the key. */
static int finish_keyword(struct walk *walk, struct slice text, struct buf *printed)
{
	struct path_place *place = walk->place;
	struct slice keyword;
	struct edn key;

	add_segment(walk, text.ptr, text.len);
	if (buf_error(&place->key))
		return -ENOMEM;
	keyword = keyword_so_far(walk);
	place->lenient = !edn_is_keyword(keyword);
	if (place->lenient && !edn_is_lenient_keyword(keyword))
		return none(walk, "no keyword has a text like this path");
	key = (struct edn){
		.type = EDN_KEYWORD, .count = (uint32_t)keyword.len, .text = keyword.ptr};
	if (path_of_key(walk->schema, &key, false, printed) < 0)
		return -ENOMEM;
	if (!slice_equal(buf_slice(printed), walk->path))
		return not_own(walk, printed);
	place->collection = schema_collection(walk->schema, keyword) != NULL;
	return settle(walk, PATH_DOCUMENT);
}

/* A key of any type at the root. */
static int finish_root(struct walk *walk, struct slice text, struct arena *arena,
	struct buf *printed)
{
	struct path_place *place = walk->place;
	struct edn key;
	int ret = path_mark_read(arena, PATH_PLAIN_KEYWORD, text, &key, walk->reason);

	if (ret < 0)
		return ret == -ENOMEM ? ret : none(walk, NULL);
	if (path_of_key(walk->schema, &key, false, printed) < 0)
		return -ENOMEM;
	if (!slice_equal(buf_slice(printed), walk->path))
		return not_own(walk, printed);
	buf_reset(&place->key);
	edn_print_canonical(&place->key, &key);
	place->lenient = edn_check_readable(&key, EDN_LOAD_DEPTH, NULL) < 0;
	place->collection =
		key.type == EDN_KEYWORD && schema_collection(walk->schema, edn_text(&key)) != NULL;
	settle(walk, PATH_DOCUMENT);
	return buf_error(&place->key);
}

static int finish_member(struct walk *walk, const struct schema_row *row, struct slice name,
	struct slice text, struct arena *arena, struct buf *printed)
{
	struct path_place *place = walk->place;
	enum path_plain plain =
		row->member == SCHEMA_KEYWORD ? PATH_PLAIN_KEYWORD : PATH_PLAIN_STRING;
	struct edn member;
	int ret;

	place->lenient = !edn_is_keyword(keyword_so_far(walk));
	if (place->lenient && !edn_is_lenient_keyword(keyword_so_far(walk)))
		return none(walk, NO_KEYWORD);
	ret = path_mark_read(arena, plain, text, &member, walk->reason);
	if (ret < 0)
		return ret == -ENOMEM ? ret : none(walk, NULL);
	if (path_of_member(row->member, &member, printed) < 0)
		return -ENOMEM;
	if (!slice_equal(buf_slice(printed), name))
		return not_own(walk, printed);
	edn_print_canonical(&place->member, &member);
	if (edn_check_readable(&member, EDN_LOAD_DEPTH, NULL) < 0)
		place->lenient = true;
	settle(walk, PATH_MEMBER);
	return buf_error(&place->member);
}

static int finish_document(struct walk *walk, struct slice name)
{
	struct slice stem = slice_of(name.ptr, name.len - PATH_SUFFIX.len);
	const struct schema_row *row = NULL;
	struct arena arena = ARENA_INIT;
	struct buf printed = BUF_INIT;
	char decoded[PATH_NAME_MAX];
	struct slice text = {decoded, 0};
	bool root = walk->place->key.len == 1;
	int ret;

	if (walk->foreign)
		return none(walk, NO_KEYWORD);
	if (path_name_is_cut(name))
		return finish_cut(walk, PATH_NONE);
	if (path_name_read_file(stem, decoded, &text.len, walk->reason) < 0)
		return none(walk, NULL);
	if (walk->cut)
		return finish_cut(walk, PATH_NONE);
	if (buf_error(&walk->place->key))
		return -ENOMEM;
	if (!root)
		row = schema_collection(walk->schema, keyword_so_far(walk));
	if (root)
		ret = finish_root(walk, text, &arena, &printed);
	else if (row)
		ret = finish_member(walk, row, name, text, &arena, &printed);
	else
		ret = finish_keyword(walk, text, &printed);
	buf_release(&printed);
	arena_release(&arena);
	return ret;
}

/* ---- the whole ---- */

static int walk_path(struct walk *walk)
{
	struct slice rest = walk->path;

	for (;;) {
		bool last;
		struct slice name = next_name(&rest, &last);

		if (name.ptr[0] == '.')
			return settle(walk, PATH_SCRATCH);
		if (last && path_is_document_name(name))
			return finish_document(walk, name);
		if (last)
			return finish_directory(walk, name);
		if (path_is_document_name(name))
			return none(walk, "a directory's name does not end in .json");
		if (!walk->foreign)
			walk->foreign = !add_directory(walk, name);
	}
}

int path_parse(const struct schema *schema, struct slice path, struct path_place *place,
	struct err *reason)
{
	struct walk walk = {.schema = schema, .path = path, .place = place, .reason = reason};
	const char *fault = path.len ? path_fault(path) : NULL;
	int ret;

	buf_reset(&place->key);
	buf_reset(&place->member);
	place->collection = false;
	place->lenient = false;
	if (path.len == 0)
		return settle(&walk, PATH_DIRECTORY);
	if (fault)
		return none(&walk, fault);
	buf_add_char(&place->key, ':');
	ret = walk_path(&walk);
	if (ret < 0) {
		settle(&walk, PATH_NONE);
		return err_set(reason, ret, "no memory");
	}
	return 0;
}
