/* SPDX-License-Identifier: MIT */
/*
 * The door to ednfile for tests: one command a line on stdin, one answer a line on stdout. Arguments
 * are hexadecimal, "-" is no argument and "." an empty one. Every answer begins with the return value.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ednfile_private.h"

enum { ARGS = 4 };

struct probe {
	struct schema *schema;
	struct ednfile *file;
	struct ednfile_snapshot *snapshot;
	int index_dir;
	struct buf buf[ARGS];
	struct slice arg[ARGS]; /* ptr NULL: "-" */
	struct err err;
};

static void print_hex(struct slice s)
{
	putchar(' ');
	if (!s.len)
		putchar('.');
	for (size_t i = 0; i < s.len; i++)
		printf("%02x", (unsigned char)s.ptr[i]);
}

static void answer(const struct probe *probe, int ret)
{
	printf("%d", ret);
	if (ret < 0) {
		printf(" %u %u", probe->err.line, probe->err.column);
		print_hex(slice_str(probe->err.text));
	}
	putchar('\n');
}

/* Arguments end where their memory does, so strtoull would read on past them. */
static uint64_t number(struct slice text)
{
	uint64_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n = 10 * n + (uint64_t)(text.ptr[i] - '0');
	return n;
}

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* An argument in memory of exactly its size, so that a sanitizer sees what is read past it. */
static void parse_arg(struct probe *probe, int i, const char *text)
{
	size_t len = strlen(text) / 2;

	free(probe->buf[i].ptr);
	probe->buf[i] = BUF_INIT;
	probe->arg[i] = slice_of(NULL, 0);
	if (strcmp(text, "-") == 0)
		return;
	probe->buf[i].ptr = malloc(len ? len : 1);
	if (!probe->buf[i].ptr)
		exit(3);
	for (size_t j = 0; j < len; j++)
		probe->buf[i].ptr[j] = (char)(digit(text[2 * j]) << 4 | digit(text[2 * j + 1]));
	probe->arg[i] = slice_of(probe->buf[i].ptr, len);
}

static int do_open(struct probe *probe)
{
	struct ednfile_options options = {
		.max_depth = EDN_LOAD_DEPTH, .schema = probe->schema, .settle_ms = 50};
	char path[4096];

	ednfile_free(probe->file);
	probe->file = NULL;
	snprintf(path, sizeof(path), "%.*s", (int)probe->arg[0].len, probe->arg[0].ptr);
	if (probe->arg[1].ptr)
		options.settle_ms = 0; /* the default */
	if (probe->arg[2].ptr)
		options.index_dir = &probe->index_dir;
	return ednfile_open(&probe->file, path, &options, &probe->err);
}

static int do_index_dir(struct probe *probe)
{
	char path[4096];

	snprintf(path, sizeof(path), "%.*s", (int)probe->arg[0].len, probe->arg[0].ptr);
	probe->index_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return probe->index_dir < 0 ? -errno : 0;
}

static int do_keep(struct probe *probe)
{
	ednfile_keep_index(probe->file);
	return 0;
}

static int do_indexed(struct probe *probe)
{
	return probe->file->indexed != NULL;
}

static int do_close(struct probe *probe)
{
	ednfile_free(probe->file);
	probe->file = NULL;
	return 0;
}

static int do_put(struct probe *probe)
{
	return ednfile_put(probe->file, probe->arg[0], probe->arg[1], probe->arg[2], &probe->err);
}

static int do_delete(struct probe *probe)
{
	return ednfile_delete(probe->file, probe->arg[0], probe->arg[1]);
}

static int do_rename(struct probe *probe)
{
	return ednfile_rename(probe->file, probe->arg[0], probe->arg[1], probe->arg[2],
		probe->arg[3], &probe->err);
}

static int do_exchange(struct probe *probe)
{
	return ednfile_exchange(probe->file, probe->arg[0], probe->arg[1], probe->arg[2],
		probe->arg[3], &probe->err);
}

static int do_begin(struct probe *probe)
{
	return ednfile_rewrite_begin(probe->file, &probe->snapshot);
}

static int do_write(struct probe *probe)
{
	struct ednfile_replaced replaced = {.fd = -1};
	struct hash128 hash;
	int ret = ednfile_rewrite_write(probe->file, probe->snapshot, &hash, &probe->err);

	if (!ret)
		ret = ednfile_rewrite_commit(probe->file, probe->snapshot, false, &replaced,
			&probe->err);
	if (replaced.fd >= 0)
		close(replaced.fd);
	return ret;
}

static int do_end(struct probe *probe)
{
	ednfile_rewrite_end(probe->file, probe->snapshot);
	probe->snapshot = NULL;
	return 0;
}

static int do_rewrite(struct probe *probe)
{
	int ret = do_begin(probe);

	if (ret)
		return ret;
	ret = do_write(probe);
	do_end(probe);
	return ret;
}

static int do_collection(struct probe *probe)
{
	return ednfile_is_collection(probe->file, probe->arg[0]);
}

static int do_count(struct probe *probe)
{
	return (int)(probe->arg[0].ptr ? ednfile_member_count(probe->file, probe->arg[0])
				       : ednfile_count(probe->file));
}

static int do_missing(struct probe *probe)
{
	ednfile_set_missing(probe->file);
	return 0;
}

static int do_changed(struct probe *probe)
{
	return ednfile_changed_outside(probe->file);
}

/* ---- answers of their own ---- */

static void say_get(struct probe *probe)
{
	struct ednfile_item item;
	int ret = ednfile_get(probe->file, probe->arg[0], probe->arg[1], &item);

	if (ret) {
		answer(probe, ret);
		return;
	}
	printf("0 %llu", (unsigned long long)*item.slot);
	if (probe->arg[2].ptr)
		*item.slot = number(probe->arg[2]);
	print_hex(item.text);
	putchar('\n');
}

static int print_item(void *context, struct slice key, const struct ednfile_item *item)
{
	(void)context;
	print_hex(key);
	print_hex(item->text);
	return 0;
}

static void say_each(struct probe *probe)
{
	int ret;

	putchar('0');
	ret = probe->arg[0].ptr ? ednfile_each_member(probe->file, probe->arg[0], print_item, NULL)
				: ednfile_each(probe->file, print_item, NULL);
	if (ret)
		printf(" failed");
	putchar('\n');
}

/* What is known of each entry. */
static void say_rows(struct probe *probe)
{
	const struct ednmap *map = &probe->file->map;

	printf("0 %zu,%zu,%zu,%u,%u", map->head.len, map->foot.len, map->prefix.len, map->count,
		map->entries[0].gap_len);
	for (uint32_t at = map->entries[0].next; at; at = map->entries[at].next) {
		const struct ednentry *e = &map->entries[at];

		printf(" %u,%u,%u,%u,%u,%u,%u", e->gap_len, e->key_len, e->mid_len, e->value_len,
			e->type, e->key_kind, e->unreadable);
	}
	putchar('\n');
}

static void say_text(struct probe *probe)
{
	struct buf text = BUF_INIT;
	int ret = ednfile_text(probe->file, &text);

	printf("%d", ret);
	print_hex(buf_slice(&text));
	putchar('\n');
	buf_release(&text);
}

static void say_info(struct probe *probe)
{
	struct ednfile_info info;

	ednfile_info(probe->file, &info);
	printf("0 %d %o %llu %zu %zu\n", info.exists, info.mode,
		(unsigned long long)info.size_bytes, info.unreadable_keys, info.trailing_bytes);
}

/* Resident bytes, as the kernel counts them. */
static void say_memory(struct probe *probe)
{
	unsigned long pages = 0;
	FILE *statm = fopen("/proc/self/statm", "r");

	(void)probe;
	if (!statm || fscanf(statm, "%*u %lu", &pages) != 1)
		pages = 0;
	if (statm)
		fclose(statm);
	printf("0 %lu\n", pages * (unsigned long)sysconf(_SC_PAGESIZE));
}

static const struct command {
	const char *name;
	int (*run)(struct probe *probe);
	void (*say)(struct probe *probe);
} commands[] = {
	{"open", do_open, NULL},
	{"index-dir", do_index_dir, NULL},
	{"keep", do_keep, NULL},
	{"indexed", do_indexed, NULL},
	{"close", do_close, NULL},
	{"put", do_put, NULL},
	{"delete", do_delete, NULL},
	{"rename", do_rename, NULL},
	{"exchange", do_exchange, NULL},
	{"begin", do_begin, NULL},
	{"write", do_write, NULL},
	{"end", do_end, NULL},
	{"rewrite", do_rewrite, NULL},
	{"collection", do_collection, NULL},
	{"count", do_count, NULL},
	{"missing", do_missing, NULL},
	{"changed", do_changed, NULL},
	{"get", NULL, say_get},
	{"each", NULL, say_each},
	{"rows", NULL, say_rows},
	{"text", NULL, say_text},
	{"info", NULL, say_info},
	{"memory", NULL, say_memory},
};

static int run_line(struct probe *probe, char *line)
{
	char *rest = line;
	char *word = strsep(&rest, " \n");

	for (int i = 0; i < ARGS; i++) {
		char *text = rest ? strsep(&rest, " \n") : NULL;

		parse_arg(probe, i, text && *text ? text : "-");
	}
	probe->err = (struct err){.code = 0};
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, word) != 0)
			continue;
		if (commands[i].run)
			answer(probe, commands[i].run(probe));
		else
			commands[i].say(probe);
		fflush(stdout);
		return 0;
	}
	return -EINVAL;
}

int main(void)
{
	struct probe probe = {.index_dir = -1};
	char *line = NULL;
	size_t cap = 0;
	int ret = schema_new(&probe.schema, NULL);

	while (!ret && getline(&line, &cap, stdin) > 0)
		ret = run_line(&probe, line);
	free(line);
	for (int i = 0; i < ARGS; i++)
		buf_release(&probe.buf[i]);
	if (probe.snapshot)
		do_end(&probe);
	do_close(&probe);
	if (probe.index_dir >= 0)
		close(probe.index_dir);
	schema_free(probe.schema);
	return ret ? 2 : 0;
}
