/* SPDX-License-Identifier: MIT */
#include "edn_scan.h"

#include <errno.h>
#include <stdlib.h>

static int push_frame(struct edn_scanner *s, uint8_t kind, const char *start, const char *open)
{
	int ret = edn_reader_enter(&s->reader, open);

	if (ret)
		return ret;
	if (s->count == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 32;
		struct edn_frame *grown = realloc(s->frames, cap * sizeof(*grown));

		if (!grown)
			return err_set(s->reader.src.err, -ENOMEM, "out of memory");
		s->frames = grown;
		s->cap = cap;
	}
	s->frames[s->count++] = (struct edn_frame){.kind = kind,
		.start = edn_scan_offset(s, start),
		.open = edn_scan_offset(s, open),
		.keys = s->reader.count};
	if (kind <= EDN_FRAME_TAG && s->count > 1) {
		edn_scan_note_depth(s, 1);
		s->level++;
	}
	s->hidden += kind == EDN_FRAME_DISCARD || kind == EDN_FRAME_META;
	return 0;
}

static void pop_frame(struct edn_scanner *s)
{
	struct edn_frame *frame = &s->frames[--s->count];

	edn_reader_leave(&s->reader);
	if (frame->many)
		edn_many_free(frame->many);
	s->reader.count = frame->keys;
	s->level -= frame->kind <= EDN_FRAME_TAG && s->count > 0;
	s->hidden -= frame->kind == EDN_FRAME_DISCARD;
}

/* A form of the scanned map itself is complete. */
static int end_entry_part(struct edn_scanner *s, uint8_t type, uint32_t start)
{
	struct edn_span span = {start, edn_scan_offset(s, s->at) - start};
	int ret;

	if (s->frames[0].forms & 1) {
		s->entry.key = span;
		return 0;
	}
	s->entry.value = span;
	s->entry.value_type = type;
	s->entries++;
	ret = s->fn ? s->fn(s->context, &s->entry) : 0;
	s->entry = (struct edn_map_entry){0};
	if (s->scratch.block)
		arena_reset(&s->scratch);
	if (ret < 0)
		return ret;
	return s->join ? edn_scan_join(s) : 0;
}

/* A form is complete, and with it whatever waited for it. */
static int end_form(struct edn_scanner *s, uint8_t type, uint32_t start)
{
	for (;;) {
		struct edn_frame *frame = &s->frames[s->count - 1];
		const char *at = s->reader.src.start + frame->start;

		switch (frame->kind) {
		case EDN_FRAME_TAG:
			type = EDN_TAGGED;
			break;
		case EDN_FRAME_META:
			if (!edn_is_meta(type))
				return edn_fail_meta(&s->reader.src, at, type);
			frame->kind = EDN_FRAME_TARGET;
			s->hidden--;
			return 0;
		case EDN_FRAME_TARGET:
			if (!edn_takes_meta(type))
				return edn_fail_takes_no_meta(&s->reader.src, at, type);
			break;
		case EDN_FRAME_DISCARD:
			pop_frame(s);
			return 0;
		default:
			frame->forms++;
			return s->count == 1 ? end_entry_part(s, type, start) : 0;
		}
		start = frame->start;
		pop_frame(s);
	}
}

static char closing_of(uint8_t kind)
{
	static const char CLOSING[] = {[EDN_LIST] = ')',
		[EDN_VECTOR] = ']',
		[EDN_MAP] = '}',
		[EDN_SET] = '}',
		[EDN_FRAME_TARGET] = '\0'};

	return CLOSING[kind];
}

/* A closing delimiter. */
static int close_frame(struct edn_scanner *s)
{
	struct edn_frame frame = s->frames[s->count - 1];
	const struct edn_source *src = &s->reader.src;
	int ret = 0;

	if (!closing_of(frame.kind))
		return edn_fail(src, s->at, "unmatched %c", *s->at);
	if (*s->at != closing_of(frame.kind))
		return edn_fail_closing(src, s->at, src->start + frame.open, frame.kind);
	if (frame.kind == EDN_MAP && (frame.forms & 1))
		return edn_fail(src, s->at, "the last key of the map has no value");
	if (s->is_tail && s->count == 1)
		return EDN_SCAN_TAIL_ENDS;
	s->at++;
	if (frame.many || s->reader.count - frame.keys > 1)
		ret = edn_scan_check_unique(s, &s->frames[s->count - 1]);
	if (ret)
		return ret;
	pop_frame(s);
	return s->count ? end_form(s, frame.kind, frame.start) : 0;
}

static int fail_end(const struct edn_scanner *s)
{
	const struct edn_frame *frame = &s->frames[s->count - 1];
	const struct edn_source *src = &s->reader.src;

	if (!closing_of(frame->kind))
		return edn_fail_cut(src, src->end, "the text ends where a form should be");
	return edn_fail_closing(src, src->end, src->start + frame->open, frame->kind);
}

/* Whatever name is readable alone is so behind this prefix and a slash, digits in front aside. */
static bool is_plain_prefix(struct slice prefix)
{
	size_t i;

	for (i = 0; i < prefix.len; i++)
		if (edn_class_of(prefix.ptr + i) & (EDN_C_HIGH | EDN_C_SLASH))
			return false;
	return prefix.len && edn_is_symbol(prefix);
}

int edn_scan_open_map(struct edn_scanner *s)
{
	struct slice prefix = {NULL, 0};
	const char *start = s->at;
	struct edn_frame *frame;
	int ret;

	if (*s->at == '#') {
		s->at++;
		s->reader.arena = &s->scratch;
		ret = edn_read_prefix(&s->reader, &s->at, &prefix);
		if (ret)
			return ret;
		edn_scan_note_reader(s);
	}
	ret = push_frame(s, EDN_MAP, start, s->at);
	if (ret)
		return ret;
	frame = &s->frames[s->count - 1];
	frame->prefix = prefix;
	frame->plain_prefix = is_plain_prefix(prefix);
	s->at++;
	return 0;
}

/* A form that the reader reads, where its value doesn't matter. */
static int read_value(struct edn_scanner *s)
{
	struct edn_reader *r = &s->reader;
	const char *start = s->at;
	struct edn_key form;
	int ret;

	r->arena = &s->passing;
	r->drops = true;
	ret = edn_reader_form(r, &s->at, false, &form);
	r->drops = false;
	arena_reset(r->arena);
	if (ret)
		return ret;
	edn_scan_note_reader(s);
	if (form.value.type == EDN_TAGGED)
		edn_scan_note_depth(s, 1);
	return end_form(s, form.value.type, edn_scan_offset(s, start));
}

static int open_frame(struct edn_scanner *s, uint8_t kind, unsigned len)
{
	const char *start = s->at;
	int ret = push_frame(s, kind, start, start + (kind == EDN_SET));

	s->at += len;
	return ret;
}

static int scan_tagged(struct edn_scanner *s)
{
	const char *start = s->at;
	const char *end = start + 1;
	struct edn tag;
	int ret;

	if (s->reader.depth == s->reader.max_depth)
		return read_value(s); /* too deep: what the reader says first */
	ret = edn_read_word(&s->reader.src, &end, &tag);
	if (ret)
		return ret;
	if (tag.type == EDN_SYMBOL && !edn_is_known_tag(edn_text(&tag))) {
		edn_scan_note_lenient(s, tag.lenient);
		s->entry.tagged = true;
		return open_frame(s, EDN_FRAME_TAG, (unsigned)(end - start));
	}
	return read_value(s);
}

static int scan_dispatch(struct edn_scanner *s)
{
	const char *next = s->at + 1;

	switch (next < s->reader.src.end ? *next : '\0') {
	case '{':
		return open_frame(s, EDN_SET, 2);
	case '_':
		return open_frame(s, EDN_FRAME_DISCARD, 2);
	case '^':
		return open_frame(s, EDN_FRAME_META, 2);
	case ':':
		return edn_scan_open_map(s);
	default:
		if (next < s->reader.src.end && edn_starts_tag(next, s->reader.src.end))
			return scan_tagged(s);
		return read_value(s);
	}
}

static int scan_word(struct edn_scanner *s)
{
	uint32_t start = edn_scan_offset(s, s->at);
	struct edn word;
	int ret = edn_read_word(&s->reader.src, &s->at, &word);

	if (ret)
		return ret;
	edn_scan_note_lenient(s, word.lenient);
	return end_form(s, word.type, start);
}

static int scan_string(struct edn_scanner *s)
{
	uint32_t start = edn_scan_offset(s, s->at);
	bool escaped;
	int ret = edn_skip_string(&s->reader.src, &s->at, &escaped);

	return ret ? ret : end_form(s, EDN_STRING, start);
}

/* Digits of a Long, and a fraction: most numbers. Others are the reader's. */
static int scan_number(struct edn_scanner *s)
{
	const char *end = s->reader.src.end;
	const char *digits = s->at + (*s->at == '-');
	const char *p = digits;
	const char *start = s->at;
	uint8_t type = EDN_INT;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	if (p == digits || p - digits > 18 || (*digits == '0' && p - digits > 1))
		return read_value(s);
	if (p + 1 < end && *p == '.' && p[1] >= '0' && p[1] <= '9') {
		type = EDN_DOUBLE;
		for (p++; p < end && *p >= '0' && *p <= '9';)
			p++;
	}
	if (p < end && !(edn_class_of(p) & (EDN_C_END | EDN_C_HASH)))
		return read_value(s);
	s->at = p;
	return end_form(s, type, edn_scan_offset(s, start));
}

static int scan_value(struct edn_scanner *s)
{
	switch (*s->at) {
	case '"':
		return scan_string(s);
	case '(':
		return open_frame(s, EDN_LIST, 1);
	case '[':
		return open_frame(s, EDN_VECTOR, 1);
	case '{':
		return edn_scan_open_map(s);
	case '^':
		return open_frame(s, EDN_FRAME_META, 1);
	case '#':
		return scan_dispatch(s);
	case '\\':
		return read_value(s);
	default:
		if (*s->at != ':' && edn_starts_number(s->at, s->reader.src.end))
			return scan_number(s);
		return scan_word(s);
	}
}

static bool wants_key(const struct edn_frame *frame)
{
	return frame->kind == EDN_SET || (frame->kind == EDN_MAP && !(frame->forms & 1));
}

static int scan_form(struct edn_scanner *s)
{
	struct edn_frame *frame = &s->frames[s->count - 1];
	uint32_t start;
	uint8_t type;
	int ret;

	if (*s->at == ')' || *s->at == ']' || *s->at == '}')
		return close_frame(s);
	if (!wants_key(frame) ||
		(*s->at == '#' && s->at + 1 < s->reader.src.end && s->at[1] == '_'))
		return scan_value(s);
	if (s->count == 1)
		s->entry.lenient = s->entry.tagged = false;
	ret = edn_scan_key(s, frame, &type, &start);
	return ret ? ret : end_form(s, type, start);
}

/* The map is open; until it closes. */
int edn_scan_rest(struct edn_scanner *s)
{
	const struct edn_source *src = &s->reader.src;
	int ret = 0;

	while (!ret && s->count) {
		while (s->at < src->end && (edn_class_of(s->at) & EDN_C_SPACE))
			s->at++;
		if (s->at < src->end && (*s->at == ';' || (edn_class_of(s->at) & EDN_C_HIGH))) {
			ret = edn_skip_blank(src, &s->at);
			if (ret)
				return ret;
		}
		ret = s->at == src->end ? fail_end(s) : scan_form(s);
	}
	return ret;
}

int edn_scan_tail(struct edn_scanner *s)
{
	int ret = push_frame(s, EDN_MAP, s->at, s->at);

	return ret ? ret : edn_scan_rest(s);
}
