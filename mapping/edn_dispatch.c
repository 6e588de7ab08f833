/* SPDX-License-Identifier: MIT */
#include "edn_reader.h"

#include <errno.h>
#include <math.h>

/* The forms that begin with # and ^: sets, tags, namespaced maps, symbolic values, metadata. */

bool edn_takes_meta(uint8_t type)
{
	return type == EDN_SYMBOL || (type >= EDN_LIST && type <= EDN_SET);
}

bool edn_is_meta(uint8_t type)
{
	return type == EDN_SYMBOL || type == EDN_STRING || type == EDN_KEYWORD || type == EDN_MAP;
}

int edn_read_meta(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form)
{
	unsigned deepest = r->deepest;
	const char *start = *at;
	int ret = edn_reader_enter(r, start);

	if (ret)
		return ret;
	*at += *start == '#' ? 2 : 1;
	ret = edn_reader_form(r, at, false, form);
	if (ret)
		return ret;
	r->deepest = deepest;
	if (!edn_is_meta(form->value.type))
		return edn_fail_meta(&r->src, start, form->value.type);
	ret = edn_reader_form(r, at, hashed, form);
	if (ret)
		return ret;
	edn_reader_leave(r);
	if (!edn_takes_meta(form->value.type))
		return edn_fail_takes_no_meta(&r->src, start, form->value.type);
	return 0;
}

/* ##Inf: the symbol may stand apart. */
static int read_symbolic(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form)
{
	const char *start = *at;
	struct slice name;
	double real;
	int ret = edn_reader_enter(r, start);

	if (ret)
		return ret;
	*at += 2;
	ret = edn_reader_form(r, at, false, form);
	if (ret)
		return ret;
	edn_reader_leave(r);
	name = form->value.type == EDN_SYMBOL ? edn_text(&form->value) : (struct slice){0};
	if (slice_equal(name, SLICE_LITERAL("Inf")))
		real = INFINITY;
	else if (slice_equal(name, SLICE_LITERAL("-Inf")))
		real = -INFINITY;
	else if (slice_equal(name, SLICE_LITERAL("NaN")))
		real = NAN;
	else
		return edn_fail_token(&r->src, start, *at, "unknown symbolic value");
	form->value = (struct edn){.type = EDN_DOUBLE, .real = real};
	form->offset = (uint32_t)(start - r->src.start);
	if (hashed)
		form->hash = edn_hash_leaf(&form->value, r->seed);
	return 0;
}

/* A letter of Latin-1: the reader's table of dispatch characters ends there. */
bool edn_starts_tag(const char *at, const char *end)
{
	unsigned char c = (unsigned char)*at;
	unsigned char next = at + 1 < end ? (unsigned char)at[1] : 0;

	if (c < 0x80)
		return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
	if (c == 0xc2)
		return next == 0xaa || next == 0xb5 || next == 0xba;
	return c == 0xc3 && next >= 0x80 && next < 0xc0 && next != 0x97 && next != 0xb7;
}

static int make_tagged(struct edn_reader *r, const struct edn *tag, const struct edn_key *under,
	bool hashed, struct edn_key *form)
{
	const char *at = r->src.start + form->offset;
	struct edn own[2];
	struct edn *items = r->drops ? own : arena_alloc(r->arena, sizeof(own));
	int ret = 0;

	if (!items)
		return err_set(r->src.err, -ENOMEM, "out of memory");
	items[0] = *tag;
	items[1] = under->value;
	r->stack.taken += 2;
	form->hash = under->hash;
	if (slice_equal(edn_text(tag), SLICE_LITERAL("inst")))
		ret = edn_read_instant(&r->src, at, r->arena, &under->value, &items[1]);
	else if (slice_equal(edn_text(tag), SLICE_LITERAL("uuid")))
		ret = edn_read_uuid(&r->src, at, r->arena, &under->value, &items[1]);
	if (ret)
		return ret;
	form->value = (struct edn){.type = EDN_TAGGED, .count = 2, .items = items};
	if (hashed)
		form->hash = edn_hash_tagged(&form->value, under->hash, r->seed);
	if (r->drops)
		form->value.items = NULL;
	form->dropped = r->drops;
	return 0;
}

static int read_tagged(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form)
{
	const char *start = *at;
	struct edn_key under;
	struct edn tag;
	int ret = edn_reader_descend(r, start);

	if (ret)
		return ret;
	*at += 1;
	ret = edn_read_word(&r->src, at, &tag);
	if (ret)
		return ret;
	if (tag.type != EDN_SYMBOL)
		return edn_fail_token(&r->src, start, *at, "a tag must be a symbol");
	r->lenient |= tag.lenient;
	r->tagged |= !edn_is_known_tag(edn_text(&tag));
	ret = edn_reader_form(r, at, hashed, &under);
	if (ret)
		return ret;
	edn_reader_ascend(r);
	return make_tagged(r, &tag, &under, hashed, form);
}

/* White space and commas, but no comments: what may stand between #:prefix and its brace. */
static int skip_space(const struct edn_source *src, const char **at)
{
	const char *start = *at;
	int ret = edn_skip_blank(src, at);

	if (!ret && memchr(start, ';', (size_t)(*at - start)))
		*at = memchr(start, ';', (size_t)(*at - start));
	return ret;
}

int edn_read_prefix(struct edn_reader *r, const char **at, struct slice *prefix)
{
	const char *start = *at;
	struct edn_key symbol;
	int ret = edn_reader_enter(r, start);

	if (ret)
		return ret;
	*at += 1;
	ret = edn_reader_form(r, at, false, &symbol);
	if (ret)
		return ret;
	edn_reader_leave(r);
	*prefix = edn_text(&symbol.value);
	if (symbol.value.type != EDN_SYMBOL ||
		(prefix->len > 1 && memchr(prefix->ptr, '/', prefix->len)))
		return edn_fail_token(&r->src, start, *at,
			"the namespace of a map must be a symbol without a namespace");
	ret = skip_space(&r->src, at);
	if (ret)
		return ret;
	if (*at == r->src.end)
		return edn_fail_cut(&r->src, *at, "the text ends before a namespaced map");
	if (**at != '{')
		return edn_fail(&r->src, *at, "a namespace (#:) must be followed by a map");
	return 0;
}

static int read_namespaced(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form)
{
	struct slice prefix;
	int ret;

	*at += 1;
	ret = edn_read_prefix(r, at, &prefix);
	return ret ? ret : edn_read_collection(r, at, EDN_MAP, prefix, hashed, form);
}

int edn_read_dispatch(struct edn_reader *r, const char **at, bool hashed, struct edn_key *form)
{
	struct slice none = {NULL, 0};
	const char *next = *at + 1;

	if (next == r->src.end)
		return edn_fail_cut(&r->src, next, "the text ends behind a #");
	switch (*next) {
	case '{':
		*at = next;
		return edn_read_collection(r, at, EDN_SET, none, hashed, form);
	case '^':
		return edn_read_meta(r, at, hashed, form);
	case '#':
		return read_symbolic(r, at, hashed, form);
	case ':':
		return read_namespaced(r, at, hashed, form);
	case '<':
		return edn_fail(&r->src, *at, "#< begins what was printed only to be looked at");
	default:
		if (edn_starts_tag(next, r->src.end))
			return read_tagged(r, at, hashed, form);
		if (!edn_utf8_len(next, r->src.end))
			return edn_fail_utf8(&r->src, next);
		return edn_fail(&r->src, *at, "no form begins with #%.*s",
			(int)edn_utf8_len(next, r->src.end), next);
	}
}
