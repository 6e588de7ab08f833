/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "json.h"

/*
 * json_bench FILE.edn: how fast the values of a memory go to JSON and back, each a document of its
 * own, in MB of JSON a second.
 */
enum { SECONDS = 2 };

struct document {
	struct edn value;
	struct slice json;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* a busy machine changes little */
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool read_file(const char *path, struct buf *text)
{
	FILE *file = fopen(path, "rb");
	size_t got;

	if (!file)
		return false;
	do {
		char *to = buf_reserve(text, 1 << 16);

		got = to ? fread(to, 1, 1 << 16, file) : 0;
		text->len += got;
	} while (got);
	fclose(file);
	return !text->failed;
}

static size_t print_all(const struct document *documents, size_t count, struct buf *out)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		buf_reset(out);
		json_print_document(out, &documents[i].value);
		bytes += out->len;
	}
	return bytes;
}

static size_t read_all(const struct document *documents, size_t count, struct arena *arena)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		struct edn v;

		arena_reset(arena);
		if (json_read(arena, documents[i].json, EDN_SAVE_DEPTH, &v, NULL))
			abort();
		bytes += documents[i].json.len;
	}
	return bytes;
}

static bool prepare(struct arena *arena, const struct edn *map, struct document *documents)
{
	for (size_t i = 0; i < map->count; i++) {
		struct buf json = BUF_INIT;

		documents[i].value = map->items[2 * i + 1];
		json_print_document(&json, &documents[i].value);
		documents[i].json = slice_of(arena_copy(arena, json.ptr, json.len), json.len);
		buf_release(&json);
		if (!documents[i].json.ptr)
			return false;
	}
	return true;
}

static void measure(const struct document *documents, size_t count)
{
	struct arena arena = ARENA_INIT;
	struct buf out = BUF_INIT;
	size_t printed = 0;
	size_t read = 0;
	double start = now();
	double middle;
	double end;

	do
		printed += print_all(documents, count, &out);
	while (now() - start < SECONDS);
	middle = now();
	do
		read += read_all(documents, count, &arena);
	while (now() - middle < SECONDS);
	end = now();
	printf("print %.0f MB/s, read %.0f MB/s\n", (double)printed / (middle - start) / 1e6,
		(double)read / (end - middle) / 1e6);
	buf_release(&out);
	arena_release(&arena);
}

int main(int argc, char **argv)
{
	struct arena arena = ARENA_INIT;
	struct buf text = BUF_INIT;
	struct document *documents = NULL;
	struct edn map;
	struct err err = {0};
	int status = 2;

	if (argc != 2 || !read_file(argv[1], &text)) {
		fprintf(stderr, "usage: json_bench FILE.edn\n");
		goto out;
	}
	if (edn_read(&arena, buf_slice(&text), EDN_LOAD_DEPTH, &map, NULL, &err) ||
		map.type != EDN_MAP) {
		fprintf(stderr, "json_bench: no map: %s\n", err.text);
		goto out;
	}
	documents = calloc(map.count ? map.count : 1, sizeof(*documents));
	if (!documents || !prepare(&arena, &map, documents))
		goto out;
	measure(documents, map.count);
	status = 0;
out:
	free(documents);
	buf_release(&text);
	arena_release(&arena);
	return status;
}
