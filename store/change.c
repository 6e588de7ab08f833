/* SPDX-License-Identifier: MIT */
#include "change.h"

#include <errno.h>

enum {
	HAS_BYTES = 1,
	HAS_MTIME = 2,
	HAS_MODE = 4,
	HAS_MEMBER = 8,
	HAS_FROM = 16,
	HAS_FROM_MEMBER = 32,
	NUMBERS =
		13, /* mode, seconds, nanoseconds, ino, version, two hashes; epoch, base, own count */
};

static void add64(struct buf *out, uint64_t n)
{
	char bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (char)(n >> (8 * i));
	buf_add(out, bytes, sizeof(bytes));
}

static bool take64(struct slice *in, uint64_t *n)
{
	if (in->len < 8)
		return false;
	*n = 0;
	for (int i = 0; i < 8; i++)
		*n |= (uint64_t)(unsigned char)in->ptr[i] << (8 * i);
	*in = slice_of(in->ptr + 8, in->len - 8);
	return true;
}

static void add_text(struct buf *out, struct slice text)
{
	add64(out, text.len);
	buf_add_slice(out, text);
}

static bool take_text(struct slice *in, bool there, struct slice *text)
{
	uint64_t len;

	*text = slice_of(NULL, 0);
	if (!there)
		return true;
	if (!take64(in, &len) || len > in->len)
		return false;
	*text = slice_of(in->ptr, (size_t)len);
	*in = slice_of(in->ptr + len, in->len - (size_t)len);
	return true;
}

void entity_id_name(struct buf *name, struct entity_id id)
{
	buf_add_char(name, id.member.ptr ? 'M' : 'D');
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_char(name, (char)(id.key.len >> shift));
	buf_add_slice(name, id.key);
	if (id.member.ptr)
		buf_add_slice(name, id.member);
}

bool entity_id_of_name(struct slice name, struct entity_id *id)
{
	size_t len = 0;

	if (name.len < 5)
		return false;
	for (int i = 1; i < 5; i++)
		len = len << 8 | (unsigned char)name.ptr[i];
	if (len > name.len - 5)
		return false;
	*id = (struct entity_id){.key = slice_of(name.ptr + 5, len)};
	if (name.ptr[0] == 'M')
		id->member = slice_of(name.ptr + 5 + len, name.len - 5 - len);
	return true;
}

void entity_id_text(struct buf *text, struct entity_id id)
{
	if (!id.member.ptr) {
		buf_add_slice(text, id.key);
		return;
	}
	buf_add_char(text, '[');
	buf_add_slice(text, id.key);
	buf_add_char(text, ' ');
	buf_add_slice(text, id.member);
	buf_add_char(text, ']');
}

void change_encode(struct buf *out, const struct change *c)
{
	const struct saved_record *r = &c->saved;
	uint64_t numbers[NUMBERS] = {r->mode, (uint64_t)r->mtime.tv_sec, (uint64_t)r->mtime.tv_nsec,
		r->ino, r->version, r->text_hash.high, r->text_hash.low, r->identity.high,
		r->identity.low, r->base.epoch, r->base.value.high, r->base.value.low,
		r->base.own_count};

	buf_add_char(out, (char)c->kind);
	buf_add_char(out,
		(char)((r->has_bytes ? HAS_BYTES : 0) | (r->has_mtime ? HAS_MTIME : 0) |
			(c->has_mode ? HAS_MODE : 0) | (c->id.member.ptr ? HAS_MEMBER : 0) |
			(c->from.key.ptr ? HAS_FROM : 0) |
			(c->from.member.ptr ? HAS_FROM_MEMBER : 0)));
	for (int i = 0; i < NUMBERS; i++)
		add64(out, numbers[i]);
	for (unsigned i = 0; i < r->base.own_count; i++) {
		add64(out, r->base.own[i].high);
		add64(out, r->base.own[i].low);
	}
	add_text(out, c->id.key);
	if (c->id.member.ptr)
		add_text(out, c->id.member);
	if (c->from.key.ptr)
		add_text(out, c->from.key);
	if (c->from.member.ptr)
		add_text(out, c->from.member);
	add_text(out, c->text);
	/* bytes of attribute changes are where they were: in an earlier record, or saved */
	if (r->has_bytes && c->kind == CHANGE_PUT)
		add_text(out, r->bytes);
}

static bool take_own(struct slice *in, struct saved_base *base, uint64_t count)
{
	bool good = count <= SAVED_OWN_MAX;

	for (uint64_t i = 0; good && i < count; i++)
		good = take64(in, &base->own[i].high) && take64(in, &base->own[i].low);
	base->own_count = (unsigned)count;
	return good;
}

int change_decode(struct slice *in, struct change *c)
{
	uint64_t n[NUMBERS];
	struct saved_record *r = &c->saved;
	unsigned flags;
	bool good = true;

	*c = (struct change){0};
	if (in->len < 2)
		return -EBADMSG;
	c->kind = (enum change_kind)in->ptr[0];
	flags = (unsigned char)in->ptr[1];
	*in = slice_of(in->ptr + 2, in->len - 2);
	for (int i = 0; i < NUMBERS && good; i++)
		good = take64(in, &n[i]);
	if (!good || c->kind < CHANGE_PUT || c->kind > CHANGE_MODE)
		return -EBADMSG;
	*r = (struct saved_record){.has_bytes = flags & HAS_BYTES,
		.has_mtime = flags & HAS_MTIME,
		.mode = (mode_t)n[0],
		.mtime = {(time_t)n[1], (long)n[2]},
		.ino = n[3],
		.version = n[4],
		.text_hash = {n[5], n[6]},
		.identity = {n[7], n[8]},
		.base = {.epoch = n[9], .value = {n[10], n[11]}}};
	c->has_mode = flags & HAS_MODE;
	good = take_own(in, &r->base, n[12]) && take_text(in, true, &c->id.key) &&
	       take_text(in, flags & HAS_MEMBER, &c->id.member) &&
	       take_text(in, flags & HAS_FROM, &c->from.key) &&
	       take_text(in, flags & HAS_FROM_MEMBER, &c->from.member) &&
	       take_text(in, true, &c->text) &&
	       take_text(in, (flags & HAS_BYTES) && c->kind == CHANGE_PUT, &r->bytes);
	return good ? 0 : -EBADMSG;
}
