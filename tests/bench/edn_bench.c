/* SPDX-License-Identifier: MIT */
/*
 * edn_bench FILE [MIB]: how fast a map like the one in FILE is scanned and read. The values of the
 * file are repeated under fresh keys until the text has MIB mebibytes (64).
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "edn.h"

enum { ROUNDS = 5 };

struct repeat {
	struct slice text;
	struct buf *out;
	size_t number;
};

static int add_entry(void *context, const struct edn_map_entry *entry)
{
	struct repeat *repeat = context;

	buf_add_format(repeat->out, ":key/of-entry-%zu ", repeat->number++);
	buf_add(repeat->out, repeat->text.ptr + entry->value.offset, entry->value.len);
	buf_add_str(repeat->out, ", ");
	return 0;
}

static int load(const char *path, struct buf *text)
{
	FILE *file = fopen(path, "rb");
	size_t got = 1;

	if (!file)
		return -1;
	while (got) {
		char *to = buf_reserve(text, 65536);

		got = to ? fread(to, 1, 65536, file) : 0;
		text->len += got;
	}
	fclose(file);
	return buf_error(text);
}

static int count_entry(void *context, const struct edn_map_entry *entry)
{
	*(size_t *)context += entry->value.len;
	return 0;
}

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int scan_once(struct slice text, struct err *err)
{
	struct edn_map_shape shape;
	size_t bytes = 0;

	return edn_scan_map(text, 0, EDN_LOAD_DEPTH, count_entry, &bytes, &shape, err);
}

static int read_once(struct slice text, struct err *err)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret = edn_read(&arena, text, EDN_LOAD_DEPTH, &value, NULL, err);

	arena_release(&arena);
	return ret;
}

static void measure(const char *name, struct slice text, int (*once)(struct slice, struct err *))
{
	double best = 1e9;

	for (int i = 0; i < ROUNDS; i++) {
		struct err err = {0};
		double start = cpu_s();
		int ret = once(text, &err);
		double took = cpu_s() - start;

		if (ret) {
			printf("%s: %u:%u: %s\n", name, err.line, err.column, err.text);
			return;
		}
		best = took < best ? took : best;
	}
	printf("%s: %.0f MB/s (%.1f ms)\n", name, (double)text.len / 1e6 / best, best * 1e3);
}

int main(int argc, char **argv)
{
	size_t want = (argc > 2 ? strtoul(argv[2], NULL, 10) : 64) << 20;
	struct buf file = BUF_INIT;
	struct buf text = BUF_INIT;
	struct repeat repeat = {.out = &text};
	struct err err = {0};
	int ret = 0;

	if (argc < 2 || load(argv[1], &file)) {
		fputs("usage: edn_bench FILE [MIB]\n", stderr);
		return 2;
	}
	repeat.text = buf_slice(&file);
	buf_add_str(&text, "{");
	while (!ret && !text.failed && text.len < want)
		ret = edn_scan_map(repeat.text, 0, EDN_LOAD_DEPTH, add_entry, &repeat, NULL, &err);
	buf_add_str(&text, "}");
	if (ret || buf_error(&text)) {
		fprintf(stderr, "%u:%u: %s\n", err.line, err.column, err.text);
		return 2;
	}
	measure("scan", buf_slice(&text), scan_once);
	measure("read", buf_slice(&text), read_once);
	buf_release(&file);
	buf_release(&text);
	return 0;
}
