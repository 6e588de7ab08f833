/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <endian.h>

static void put64(char *to, uint64_t number)
{
	uint64_t be = htobe64(number);

	memcpy(to, &be, sizeof(be));
}

uint64_t eav_number_of(const char *bytes)
{
	uint64_t be;

	memcpy(&be, bytes, sizeof(be));
	return be64toh(be);
}

struct slice eav_cut(struct slice text, size_t cut, char *to)
{
	struct hash128 hash;

	if (text.len < cut + EAV_HASH)
		return text;
	hash = hash128(text.ptr, text.len);
	memcpy(to, text.ptr, cut);
	put64(to + cut, hash.high);
	put64(to + cut + 8, hash.low);
	return slice_of(to, cut + EAV_HASH);
}

void eav_key_name(struct eav_key *key, struct slice name)
{
	struct slice part = eav_cut(name, EAV_NAME_CUT, key->bytes);

	if (part.ptr != key->bytes)
		memcpy(key->bytes, part.ptr, part.len);
	key->len = part.len;
}

void eav_key_number(struct eav_key *key, uint64_t number)
{
	put64(key->bytes, number);
	key->len = EAV_NUMBER;
}

void eav_key_eav(struct eav_key *key, uint64_t number, struct slice part)
{
	put64(key->bytes, number);
	memcpy(key->bytes + EAV_NUMBER, part.ptr, part.len);
	key->len = EAV_NUMBER + part.len;
}

void eav_key_ave(struct eav_key *key, struct slice part, uint64_t number)
{
	memcpy(key->bytes, part.ptr, part.len);
	put64(key->bytes + part.len, number);
	key->len = part.len + EAV_NUMBER;
}
