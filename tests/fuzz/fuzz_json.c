/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "json.h"

/*
 * Any bytes, taken as JSON, as EDN and as an object's key: what is read must print as text that reads
 * back as the identical value, and a prefix of a good document must never be called hopeless.
 */
enum { MAX_DEPTH = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void check_json(const struct edn *v, unsigned indent)
{
	struct arena arena = ARENA_INIT;
	struct buf text = BUF_INIT;
	struct buf again = BUF_INIT;
	struct edn back;

	json_print(&text, v, indent);
	must(!json_read(&arena, buf_slice(&text), MAX_DEPTH, &back, NULL), "print, read");
	must(edn_identical(v, &back), "identity by way of JSON");
	json_print(&again, &back, indent);
	must(slice_equal(buf_slice(&text), buf_slice(&again)), "print, read, print");
	buf_release(&text);
	buf_release(&again);
	arena_release(&arena);
}

static void check_edn(const struct edn *v)
{
	struct arena arena = ARENA_INIT;
	struct buf text = BUF_INIT;
	struct edn back;

	edn_print(&text, v);
	must(!edn_read(&arena, buf_slice(&text), MAX_DEPTH, &back, NULL, NULL), "print EDN, read");
	must(edn_identical(v, &back), "identity by way of EDN");
	buf_release(&text);
	arena_release(&arena);
}

static void check_prefix(struct slice text)
{
	struct arena arena = ARENA_INIT;
	struct err err = {0};
	struct edn v;
	size_t len = (size_t)(hash64(text.ptr, text.len, 0) % (text.len + 1));
	char *copy = malloc(len ? len : 1); /* a sanitizer sees who reads past it */

	if (!copy)
		return;
	if (len)
		memcpy(copy, text.ptr, len);
	if (json_read(&arena, slice_of(copy, len), MAX_DEPTH, &v, &err))
		must(err.truncated, "a prefix of a good document can be mended");
	arena_release(&arena);
	free(copy);
}

static void check_key(struct slice text)
{
	struct arena arena = ARENA_INIT;
	struct buf printed = BUF_INIT;
	struct edn key;
	struct edn back;

	if (!json_key_read(&arena, text, &key, NULL)) {
		json_key_print(&printed, &key);
		must(!json_key_read(&arena, buf_slice(&printed), &back, NULL), "print key, read");
		must(edn_identical(&key, &back), "identity of a key");
		must(key.type != EDN_STRING || printed.len <= text.len, "shortest key");
	}
	buf_release(&printed);
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(size ? (const char *)data : "", size); /* data may be NULL */
	struct arena arena = ARENA_INIT;
	struct edn v;

	if (!json_read(&arena, text, MAX_DEPTH, &v, NULL)) {
		check_json(&v, 0);
		check_json(&v, 2);
		check_edn(&v);
		check_prefix(text);
	}
	if (!edn_read(&arena, text, MAX_DEPTH, &v, NULL, NULL))
		check_json(&v, 0);
	check_key(text);
	arena_release(&arena);
	return 0;
}
