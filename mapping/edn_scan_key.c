/* SPDX-License-Identifier: MIT */
#include "edn_scan.h"

#include <errno.h>

#include "edn_compare.h"

static unsigned depth_of(const struct edn *v)
{
	size_t count = edn_item_count(v);
	unsigned deepest = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		unsigned depth = depth_of(&v->items[i]);

		if (depth > deepest)
			deepest = depth;
	}
	return v->type < EDN_LIST ? 0 : deepest + 1;
}

/* A string without escapes or a word, left as text. 0 done, 1 it is something else. */
static int scan_plain_key(struct edn_scanner *s, struct edn_key *key)
{
	const struct edn_source *src = &s->reader.src;
	const char *start = s->at;
	bool escaped;
	int ret;

	if (*start == '"') {
		ret = edn_skip_string(src, &s->at, &escaped);
		if (ret)
			return ret;
		if (escaped) {
			s->at = start;
			return 1;
		}
		key->value = (struct edn){.type = EDN_STRING,
			.count = (uint32_t)(s->at - start - 2),
			.text = start + 1};
	} else if (*start == ':' || !((edn_class_of(start) & (EDN_C_END | EDN_C_HASH)) ||
					    edn_starts_number(start, src->end))) {
		ret = edn_read_word(src, &s->at, &key->value);
		if (ret)
			return ret;
	} else {
		return 1;
	}
	key->offset = edn_scan_offset(s, start);
	return 0;
}

/* One with more values than that is read once more, and of what is in it nothing is kept. */
enum { KEY_VALUES_MAX = 1 << 16 };

static int read_large_key(struct edn_scanner *s, const struct edn_reader *before, const char *start,
	struct edn_key *key)
{
	struct edn_reader *r = &s->reader;
	int ret;

	if (r->src.err)
		*r->src.err = (struct err){0};
	r->depth = before->depth;
	r->level = r->deepest = 0;
	r->lenient = before->lenient;
	r->tagged = before->tagged;
	r->stack.count = before->stack.count;
	r->count = before->count;
	s->at = start;
	r->drops = true;
	ret = edn_reader_form(r, &s->at, true, key);
	r->drops = false;
	return ret;
}

static int read_key(struct edn_scanner *s, struct edn_frame *frame, struct edn_key *key)
{
	struct edn_reader *r = &s->reader;
	struct edn_reader before = *r;
	const char *start = s->at;
	struct arena mark;
	int ret;

	r->arena = frame == s->frames ? &s->kept : &s->scratch;
	mark = *r->arena;
	r->stack.max = r->stack.taken + r->stack.count + KEY_VALUES_MAX;
	ret = edn_reader_form(r, &s->at, true, key);
	r->stack.max = SIZE_MAX;
	if (ret == -EFBIG) {
		arena_rewind(r->arena, mark);
		ret = read_large_key(s, &before, start, key);
	}
	if (ret)
		return ret;
	edn_scan_note_reader(s);
	if (frame != s->frames)
		edn_scan_note_depth(s, key->dropped ? r->deepest : depth_of(&key->value));
	return 0;
}

static bool needs_resolving(const struct edn_frame *frame, const struct edn *word)
{
	char first = word->count ? *word->text : ':';

	return !frame->plain_prefix || word->lenient || first == ':' || first == '/' ||
	       (first >= '0' && first <= '9') || first == '_';
}

/*
 * Keys of #:ns{} are compared without the namespace where theirs is that of the map, so that nothing has to
 * be put together: what edn_resolve_key makes of a key is the same for two of them if and only if this is.
 */
static int relate_key(struct edn_scanner *s, const struct edn_frame *frame, struct edn_key *key)
{
	struct slice prefix = frame->prefix;
	struct edn resolved = key->value;
	struct slice text;
	int ret;

	if (key->value.type != EDN_KEYWORD && key->value.type != EDN_SYMBOL)
		return 0;
	if (needs_resolving(frame, &key->value)) {
		ret = edn_resolve_key(&s->scratch, prefix, &resolved);
		if (ret == -ENOMEM)
			return err_set(s->reader.src.err, ret, "out of memory");
		if (ret)
			return edn_fail(&s->reader.src, s->reader.src.start + key->offset,
				"a symbol that no text can stand for");
		edn_scan_note_lenient(s, resolved.lenient);
	}
	text = edn_text(&key->value);
	if (text.len > 2 && text.ptr[0] == '_' && text.ptr[1] == '/')
		text = slice_of(text.ptr + 2, text.len - 2);
	else
		key->relative = text.len == 1 || !memchr(text.ptr, '/', text.len);
	if (!key->relative && text.len > prefix.len && text.ptr[prefix.len] == '/' &&
		slice_starts(text, prefix)) {
		text = slice_of(text.ptr + prefix.len + 1, text.len - prefix.len - 1);
		key->relative = true;
	}
	key->value.text = text.ptr;
	key->value.count = (uint32_t)text.len;
	return 0;
}

static int scan_key(struct edn_scanner *s, struct edn_frame *frame, uint8_t *type, uint32_t *start)
{
	struct edn_key key;
	int plain;
	int ret = 0;

	key.relative = key.dropped = false;
	plain = scan_plain_key(s, &key);
	if (plain < 0)
		return plain;
	if (plain)
		ret = read_key(s, frame, &key);
	if (ret)
		return ret;
	*type = key.value.type;
	*start = key.offset;
	edn_scan_note_lenient(s, key.value.type < EDN_LIST && key.value.lenient);
	if (frame->prefix.len) {
		ret = relate_key(s, frame, &key);
		if (ret)
			return ret;
	}
	if (key.value.type < EDN_LIST)
		key.hash = edn_hash_leaf(&key.value, s->reader.seed);
	return edn_reader_push(&s->reader, &key);
}

/* ---- all of them ---- */

static int no_memory(const struct edn_scanner *s)
{
	return err_set(s->reader.src.err, -ENOMEM, "out of memory");
}

/* Of which nothing else is kept. */
static int scan_one_of_many(struct edn_scanner *s, struct edn_frame *frame, uint8_t *type,
	uint32_t *start)
{
	struct edn_reader *r = &s->reader;
	struct arena before = s->scratch;
	int ret = scan_key(s, frame, type, start);

	if (ret)
		return ret;
	if (edn_many_add(frame->many, &r->keys[--r->count]))
		return no_memory(s);
	arena_rewind(&s->scratch, before);
	return 0;
}

static int begin_many(struct edn_scanner *s, struct edn_frame *frame)
{
	struct edn_reader *r = &s->reader;

	frame->many = edn_many_new(r->keys + frame->keys, r->count - frame->keys);
	r->count = frame->keys;
	return frame->many ? 0 : no_memory(s);
}

int edn_scan_key(struct edn_scanner *s, struct edn_frame *frame, uint8_t *type, uint32_t *start)
{
	int ret;

	if (frame->many)
		return scan_one_of_many(s, frame, type, start);
	ret = scan_key(s, frame, type, start);
	if (!ret && s->reader.count - frame->keys == EDN_MANY && frame != s->frames)
		return begin_many(s, frame);
	return ret;
}

struct reading {
	struct edn_scanner *s;
	struct edn_frame *frame;
};

/* Both are read once more, which they can be. */
static int is_same(void *context, uint32_t one, uint32_t other)
{
	struct reading *reading = context;
	struct edn_scanner *s = reading->s;
	struct arena before = s->scratch;
	const char *at = s->at;
	uint8_t type;
	uint32_t start;
	int ret;

	s->at = s->reader.src.start + one;
	ret = scan_key(s, reading->frame, &type, &start);
	s->at = s->reader.src.start + other;
	if (!ret)
		ret = scan_key(s, reading->frame, &type, &start);
	if (!ret)
		ret = edn_reader_find_duplicate(&s->reader, reading->frame->keys, &start);
	s->at = at;
	s->reader.count = reading->frame->keys;
	arena_rewind(&s->scratch, before);
	return ret;
}

int edn_scan_check_unique(struct edn_scanner *s, struct edn_frame *frame)
{
	struct reading reading = {s, frame};
	uint32_t second;
	int ret;

	if (frame->many)
		ret = edn_many_find_duplicate(frame->many, is_same, &reading, &second);
	else
		ret = edn_reader_find_duplicate(&s->reader, frame->keys, &second);
	return ret > 0 ? edn_fail_duplicate(&s->reader.src, s->reader.src.start + second,
				 frame->kind)
		       : ret;
}
