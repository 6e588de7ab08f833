/* SPDX-License-Identifier: MIT */
#include "edn_reader.h"

#include <errno.h>

#include "huge.h"

void edn_reader_init(struct edn_reader *r, struct slice text, unsigned max_depth, struct err *err)
{
	*r = (struct edn_reader){
		.src = {text.ptr, text.ptr + text.len, err},
		.max_depth = max_depth,
		.seed = edn_hash_seed(text.ptr),
		.stack.max = SIZE_MAX,
	};
}

void edn_reader_release(struct edn_reader *r)
{
	edn_stack_release(&r->stack);
	huge_free(r->keys, r->cap * sizeof(*r->keys));
	r->keys = NULL;
	edn_unique_release(&r->unique);
}

int edn_reader_enter(struct edn_reader *r, const char *at)
{
	if (r->depth >= r->max_depth)
		return edn_fail(&r->src, at, "nested deeper than %u levels", r->max_depth);
	r->depth++;
	return 0;
}

int edn_reader_descend(struct edn_reader *r, const char *at)
{
	int ret = edn_reader_enter(r, at);

	if (!ret && ++r->level > r->deepest)
		r->deepest = r->level;
	return ret;
}

static int no_memory(const struct edn_reader *r)
{
	return err_set(r->src.err, -ENOMEM, "out of memory");
}

int edn_reader_grow(struct edn_reader *r)
{
	size_t cap = r->cap ? r->cap * 2 : 64;
	struct edn_key *grown = huge_resize(r->keys, r->cap * sizeof(*grown), cap * sizeof(*grown));

	if (!grown)
		return no_memory(r);
	r->keys = grown;
	r->cap = cap;
	return 0;
}

static bool is_discard(const struct edn_reader *r, const char *at)
{
	return *at == '#' && at + 1 < r->src.end && at[1] == '_';
}

int edn_skip_to_form(struct edn_reader *r, const char **at)
{
	int ret = edn_skip_blank(&r->src, at);

	while (!ret && *at < r->src.end && is_discard(r, *at)) {
		unsigned deepest = r->deepest;
		struct arena mark = *r->arena;
		struct edn_key discarded;

		ret = edn_reader_enter(r, *at);
		if (ret)
			return ret;
		*at += 2;
		ret = edn_reader_form(r, at, false, &discarded);
		edn_reader_leave(r);
		r->deepest = deepest;
		if (r->drops)
			arena_rewind(r->arena, mark);
		if (!ret)
			ret = edn_skip_blank(&r->src, at);
	}
	return ret;
}

static char closing(enum edn_type type)
{
	return type == EDN_LIST ? ')' : type == EDN_VECTOR ? ']' : '}';
}

static bool is_closing(char c)
{
	return c == ')' || c == ']' || c == '}';
}

static int resolve_key(struct edn_reader *r, struct slice prefix, struct edn_key *key)
{
	int ret = edn_resolve_key(r->arena, prefix, &key->value);

	if (ret == -ENOMEM)
		return no_memory(r);
	if (ret)
		return edn_fail(&r->src, r->src.start + key->offset,
			"a symbol that no text can stand for");
	if (key->value.type < EDN_LIST) {
		key->hash = edn_hash_leaf(&key->value, r->seed);
		r->lenient |= key->value.lenient;
	}
	return 0;
}

/* A collection whose items are read. */
struct opened {
	enum edn_type type;
	struct slice prefix; /* of a map, or empty */
	bool hashed;
	size_t count;          /* of its items */
	size_t base;           /* where they begin on the stack */
	size_t keys;           /* and its keys */
	struct edn_many *many; /* or where they are, if they are that */
	uint64_t pending;      /* hash of the key that waits for its value */
	uint64_t sum;          /* of the hashes so far */
};

static void add_hash(struct opened *c, bool key, uint64_t hash)
{
	if (key)
		c->pending = hash;
	else if (c->type == EDN_MAP)
		c->sum = edn_hash_add(c->type, c->sum, edn_hash_entry(c->pending, hash));
	else
		c->sum = edn_hash_add(c->type, c->sum, hash);
}

static int add_key(struct edn_reader *r, struct opened *c, const struct edn_key *key)
{
	int ret;

	if (c->many)
		return edn_many_add(c->many, key) ? no_memory(r) : 0;
	ret = edn_reader_push(r, key);
	if (ret || r->count - c->keys < EDN_MANY)
		return ret;
	c->many = edn_many_new(r->keys + c->keys, r->count - c->keys);
	r->count = c->keys;
	return c->many ? 0 : no_memory(r);
}

static int read_item(struct edn_reader *r, const char **at, struct opened *c)
{
	bool key = c->type == EDN_MAP && !(c->count & 1);
	bool unique = key || c->type == EDN_SET;
	struct arena mark = *r->arena;
	struct edn_key item;
	int ret = edn_reader_form(r, at, c->hashed || unique, &item);

	if (!ret && key && c->prefix.len)
		ret = resolve_key(r, c->prefix, &item);
	if (!ret && unique)
		ret = add_key(r, c, &item);
	if (ret)
		return ret;
	if (c->hashed)
		add_hash(c, key, item.hash);
	c->count++;
	if (r->drops) {
		if (!unique || item.dropped || c->many)
			arena_rewind(r->arena, mark);
		return 0;
	}
	ret = edn_stack_push(&r->stack, &item.value);
	return ret ? edn_stack_fail(&r->stack, ret, r->src.err) : 0;
}

/* All items of the collection, onto the stack. */
static int read_items(struct edn_reader *r, const char **at, struct opened *c)
{
	const char *open = *at;
	int ret;

	*at += 1;
	for (;;) {
		ret = edn_skip_to_form(r, at);
		if (ret)
			return ret;
		if (*at < r->src.end && **at == closing(c->type)) {
			*at += 1;
			return 0;
		}
		if (*at == r->src.end || is_closing(**at))
			return edn_fail_closing(&r->src, *at, open, c->type);
		ret = read_item(r, at, c);
		if (ret)
			return ret;
	}
}

int edn_reader_find_duplicate(struct edn_reader *r, size_t from, uint32_t *second)
{
	const struct edn_key *key;
	int ret;

	if (r->count - from < 2)
		return 0;
	ret = edn_find_duplicate(&r->unique, r->keys + from, r->count - from, &key);
	if (ret > 0)
		*second = key->offset;
	return ret < 0 ? no_memory(r) : ret;
}

struct reading {
	struct edn_reader *r;
	struct opened *c;
};

static int read_key_at(struct edn_reader *r, const struct opened *c, uint32_t offset)
{
	const char *at = r->src.start + offset;
	struct edn_key key;
	int ret = edn_reader_form(r, &at, true, &key);

	if (!ret && c->type == EDN_MAP && c->prefix.len)
		ret = resolve_key(r, c->prefix, &key);
	return ret ? ret : edn_reader_push(r, &key);
}

/* Both are read once more, which they can be. */
static int is_same(void *context, uint32_t one, uint32_t other)
{
	struct reading *reading = context;
	struct edn_reader *r = reading->r;
	size_t taken = r->stack.taken;
	size_t max = r->stack.max;
	uint32_t second;
	int ret;

	r->stack.max = SIZE_MAX;
	ret = read_key_at(r, reading->c, one);
	if (!ret)
		ret = read_key_at(r, reading->c, other);
	if (!ret)
		ret = edn_reader_find_duplicate(r, reading->c->keys, &second);
	r->stack.max = max;
	r->stack.taken = taken;
	r->count = reading->c->keys;
	return ret;
}

static int check_unique(struct edn_reader *r, struct opened *c)
{
	struct reading reading = {r, c};
	uint32_t second;
	int ret;

	if (c->many)
		ret = edn_many_find_duplicate(c->many, is_same, &reading, &second);
	else
		ret = edn_reader_find_duplicate(r, c->keys, &second);
	return ret > 0 ? edn_fail_duplicate(&r->src, r->src.start + second, c->type) : ret;
}

/* The stack from the base on becomes the value. */
static int finish(struct edn_reader *r, const struct opened *c, struct edn_key *form)
{
	const struct edn *items = NULL;
	int ret = r->drops ? 0 : edn_stack_take(&r->stack, c->base, r->arena, &items);

	if (ret)
		return edn_stack_fail(&r->stack, ret, r->src.err);
	r->count = c->keys;
	form->hash = edn_hash_end(c->type, c->sum, r->seed);
	form->value = (struct edn){.type = c->type,
		.count = (uint32_t)(c->type == EDN_MAP ? c->count / 2 : c->count),
		.items = items};
	form->dropped = r->drops;
	return 0;
}

int edn_read_collection(struct edn_reader *r, const char **at, enum edn_type type,
	struct slice prefix, bool hashed, struct edn_key *form)
{
	struct opened c = {.type = type,
		.prefix = prefix,
		.hashed = hashed,
		.base = r->stack.count,
		.keys = r->count};
	int ret = edn_reader_descend(r, *at);

	if (!ret)
		ret = read_items(r, at, &c);
	if (!ret) {
		edn_reader_ascend(r);
		if (type == EDN_MAP && (c.count & 1))
			ret = edn_fail(&r->src, *at - 1, "the last key of the map has no value");
	}
	if (!ret)
		ret = check_unique(r, &c);
	edn_many_free(c.many);
	return ret ? ret : finish(r, &c, form);
}

static int read_atom(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form)
{
	const struct edn_source *src = &r->src;
	int ret;

	if (**at == '"')
		ret = edn_read_string(src, at, r->arena, &form->value);
	else if (**at == '\\')
		ret = edn_read_char(src, at, &form->value);
	else if (edn_starts_number(*at, src->end))
		ret = edn_read_number(src, at, r->arena, &form->value);
	else
		ret = edn_read_word(src, at, &form->value);
	if (ret)
		return ret;
	r->lenient |= form->value.lenient;
	if (hashed)
		form->hash = edn_hash_leaf(&form->value, r->seed);
	return 0;
}

int edn_reader_form(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form)
{
	struct slice none = {NULL, 0};
	int ret = edn_skip_to_form(r, at);

	if (ret)
		return ret;
	if (*at == r->src.end)
		return edn_fail_cut(&r->src, *at, "the text ends where a form should be");
	*form = (struct edn_key){.offset = (uint32_t)(*at - r->src.start)};
	switch (**at) {
	case '(':
		return edn_read_collection(r, at, EDN_LIST, none, hashed, form);
	case '[':
		return edn_read_collection(r, at, EDN_VECTOR, none, hashed, form);
	case '{':
		return edn_read_collection(r, at, EDN_MAP, none, hashed, form);
	case ')':
	case ']':
	case '}':
		return edn_fail(&r->src, *at, "unmatched %c", **at);
	case '#':
		return edn_read_dispatch(r, at, hashed, form);
	case '^':
		return edn_read_meta(r, at, hashed, form);
	default:
		return read_atom(r, at, hashed, form);
	}
}

int edn_skip(struct slice text, unsigned max_depth, size_t *end, uint64_t *hash)
{
	struct arena arena = ARENA_INIT;
	const char *at = text.ptr;
	struct edn_reader reader;
	struct edn_key form;
	int ret;

	if (text.len > UINT32_MAX)
		return -EOVERFLOW;
	edn_reader_init(&reader, text, max_depth, NULL);
	reader.arena = &arena;
	reader.drops = true;
	if (hash)
		reader.seed = EDN_HASH_SEED;
	ret = edn_reader_form(&reader, &at, hash != NULL, &form);
	edn_reader_release(&reader);
	arena_release(&arena);
	if (ret)
		return ret;
	*end = (size_t)(at - text.ptr);
	if (hash)
		*hash = form.hash;
	return 0;
}

int edn_read_limited(struct arena *arena, struct slice text, unsigned max_depth, size_t *room,
	struct edn *value, size_t *end, struct err *err)
{
	const char *at = text.ptr;
	struct edn_reader reader;
	struct edn_key form;
	int ret;

	if (text.len > UINT32_MAX)
		return err_set(err, -EOVERFLOW, "a text of 4 GiB or more");
	edn_reader_init(&reader, text, max_depth, err);
	reader.arena = arena;
	reader.stack.max = *room;
	ret = edn_reader_form(&reader, &at, false, &form);
	edn_reader_release(&reader);
	if (ret)
		return ret;
	*value = form.value;
	*room -= reader.stack.taken < *room ? reader.stack.taken : *room;
	if (end)
		*end = (size_t)(at - text.ptr);
	return 0;
}

int edn_read(struct arena *arena, struct slice text, unsigned max_depth, struct edn *value,
	size_t *end, struct err *err)
{
	size_t room = SIZE_MAX;

	return edn_read_limited(arena, text, max_depth, &room, value, end, err);
}
