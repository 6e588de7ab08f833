/* SPDX-License-Identifier: MIT */
#include "eav_private.h"
#include "json.h"

#include <endian.h>
#include <errno.h>
#include <math.h>

static const uint64_t SIGN = (uint64_t)1 << 63;
static const uint64_t NAN_BITS = 0x7ff8000000000000u;

/* ---- text: 0x00 as 0x00 0xff, then 0x00 0x00: a prefix goes before what it begins ---- */

void eav_text_encode(struct buf *out, struct slice text)
{
	const char *at = text.ptr;
	const char *end = at + text.len;

	while (at < end) {
		const char *nul = memchr(at, 0, (size_t)(end - at));

		buf_add(out, at, (size_t)((nul ? nul : end) - at));
		if (!nul)
			break;
		buf_add(out, "\0\xff", 2);
		at = nul + 1;
	}
	buf_add(out, "\0\0", 2);
}

/* Takes one text off in. Only a text with NUL in it needs scratch, behind what is there. */
int eav_text_decode(struct slice *in, struct buf *scratch, struct slice *text)
{
	const char *at = in->ptr;
	const char *end = at + in->len;
	size_t begin = scratch->len;
	const char *nul;

	while ((nul = memchr(at, 0, (size_t)(end - at))) && end - nul > 1 && nul[1]) {
		if ((unsigned char)nul[1] != 0xff)
			return -EIO;
		buf_add(scratch, at, (size_t)(nul + 1 - at));
		at = nul + 2;
	}
	if (!nul || end - nul < 2)
		return -EIO;
	if (scratch->len == begin) {
		*text = slice_of(at, (size_t)(nul - at));
	} else {
		buf_add(scratch, at, (size_t)(nul - at));
		*text = slice_of(scratch->ptr + begin, scratch->len - begin);
	}
	*in = slice_of(nul + 2, (size_t)(end - nul) - 2);
	return buf_error(scratch);
}

/* ---- numbers ---- */

static void add64(struct buf *out, uint64_t bits)
{
	uint64_t be = htobe64(bits);

	buf_add(out, &be, sizeof(be));
}

static uint64_t order_of_double(double real)
{
	uint64_t bits;

	memcpy(&bits, &real, sizeof(bits));
	if (isnan(real))
		bits = NAN_BITS;
	return bits & SIGN ? ~bits : bits | SIGN;
}

static double double_of_order(uint64_t order)
{
	uint64_t bits = order & SIGN ? order & ~SIGN : ~order;
	double real;

	memcpy(&real, &bits, sizeof(real));
	return real;
}

/* ---- EDN ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool uuid_bytes(struct slice text, unsigned char uuid[16])
{
	size_t digits = 0;

	for (size_t i = 0; i < text.len; i++) {
		int digit = hex_digit(text.ptr[i]);

		if (text.ptr[i] == '-')
			continue;
		if (digit < 0 || digits == 32)
			return false;
		uuid[digits / 2] =
			(unsigned char)(digits % 2 ? uuid[digits / 2] << 4 | digit : digit);
		digits++;
	}
	return digits == 32;
}

static bool tagged_value(const struct edn items[2], struct eav_value *value)
{
	struct slice tag = edn_text(&items[0]);

	if (items[1].type != EDN_STRING)
		return false;
	if (slice_equal(tag, SLICE_LITERAL("inst"))) {
		value->type = EAV_INSTANT;
		return edn_instant_ms(edn_text(&items[1]), &value->integer);
	}
	value->type = EAV_UUID;
	return slice_equal(tag, SLICE_LITERAL("uuid")) &&
	       uuid_bytes(edn_text(&items[1]), value->uuid);
}

bool eav_value_of_edn(const struct edn *v, struct eav_value *value)
{
	switch ((enum edn_type)v->type) {
	case EDN_NIL:
		value->type = EAV_NIL;
		return true;
	case EDN_BOOL:
		value->type = v->integer ? EAV_TRUE : EAV_FALSE;
		return true;
	case EDN_INT:
		value->type = EAV_LONG;
		value->integer = v->integer;
		return true;
	case EDN_DOUBLE:
		value->type = EAV_DOUBLE;
		value->real = v->real;
		return true;
	case EDN_KEYWORD:
	case EDN_STRING:
		value->type = v->type == EDN_STRING ? EAV_STRING : EAV_KEYWORD;
		value->text = edn_text(v);
		return true;
	case EDN_TAGGED:
		return tagged_value(v->items, value);
	default:
		return false;
	}
}

/* ---- values ---- */

void eav_value_encode(struct buf *out, const struct eav_value *value)
{
	buf_add_char(out, (char)value->type);
	switch (value->type) {
	case EAV_NIL:
	case EAV_FALSE:
	case EAV_TRUE:
		return;
	case EAV_LONG:
	case EAV_INSTANT:
		add64(out, (uint64_t)value->integer ^ SIGN);
		return;
	case EAV_DOUBLE:
		add64(out, order_of_double(value->real));
		return;
	case EAV_UUID:
		buf_add(out, value->uuid, sizeof(value->uuid));
		return;
	case EAV_KEYWORD:
	case EAV_STRING:
	case EAV_JSON:
		eav_text_encode(out, value->text);
		return;
	}
}

void eav_json_encode(struct buf *out, const struct edn *v)
{
	buf_add_char(out, EAV_JSON);
	json_print(out, v, 0); /* no NUL is in it */
	buf_add(out, "\0\0", 2);
}

static int decode_number(struct slice in, struct eav_value *value)
{
	uint64_t bits;

	if (in.len != sizeof(bits))
		return -EIO;
	bits = eav_number_of(in.ptr);
	if (value->type == EAV_DOUBLE)
		value->real = double_of_order(bits);
	else
		value->integer = (int64_t)(bits ^ SIGN);
	return 0;
}

int eav_value_decode(struct slice in, struct buf *scratch, struct eav_value *value)
{
	int ret;

	if (!in.len)
		return -EIO;
	value->type = (enum eav_type)(unsigned char)in.ptr[0];
	in = slice_of(in.ptr + 1, in.len - 1);
	switch (value->type) {
	case EAV_NIL:
	case EAV_FALSE:
	case EAV_TRUE:
		return in.len ? -EIO : 0;
	case EAV_LONG:
	case EAV_INSTANT:
	case EAV_DOUBLE:
		return decode_number(in, value);
	case EAV_UUID:
		if (in.len != sizeof(value->uuid))
			return -EIO;
		memcpy(value->uuid, in.ptr, in.len);
		return 0;
	case EAV_KEYWORD:
	case EAV_STRING:
	case EAV_JSON:
		ret = eav_text_decode(&in, scratch, &value->text);
		return ret || !in.len ? ret : -EIO;
	}
	return -EIO;
}
