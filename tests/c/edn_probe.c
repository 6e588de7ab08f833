/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "edn.h"

/*
 * Reads texts from stdin (each: its length in decimal, a newline, the bytes) and says of each, on one
 * line, what the reader and the scanner make of it. Bytes are in hexadecimal behind an x.
 *
 *	ok END PRINTED CANONICAL IDENTITY LENIENT READABLE SELF | SCAN
 *	error CODE LINE COLUMN TRUNCATED MESSAGE | SCAN
 *
 * SELF is "same" when the printed texts read back as the identical value. SCAN is
 *
 *	map ENTRIES END PREFIX (KEY VALUE DEPTH TYPE LENIENT)...
 *	error CODE LINE COLUMN TRUNCATED MESSAGE
 */
static void put_hex(const char *bytes, size_t len)
{
	putchar('x');
	for (size_t i = 0; i < len; i++)
		printf("%02x", (unsigned char)bytes[i]);
}

static void put_error(int code, const struct err *err)
{
	printf("error %d %u %u %d ", code, err->line, err->column, err->truncated);
	put_hex(err->text, strlen(err->text));
}

static bool reads_back(const struct edn *v, struct slice text)
{
	struct arena arena = ARENA_INIT;
	struct hash128 a = edn_identity(v);
	struct hash128 b;
	struct edn again;
	size_t end;
	bool same = edn_read(&arena, text, EDN_LOAD_DEPTH, &again, &end, NULL) == 0;

	same = same && end == text.len && edn_identical(v, &again) && edn_identical(&again, v);
	same = same && edn_equal(v, &again) && edn_hash(v) == edn_hash(&again);
	if (same) {
		b = edn_identity(&again);
		same = a.high == b.high && a.low == b.low;
	}
	arena_release(&arena);
	return same;
}

static void put_value(const struct edn *v, size_t end)
{
	struct hash128 identity = edn_identity(v);
	struct buf printed = BUF_INIT;
	struct buf canonical = BUF_INIT;
	bool same;

	edn_print(&printed, v);
	edn_print_canonical(&canonical, v);
	same = reads_back(v, buf_slice(&printed)) && reads_back(v, buf_slice(&canonical));
	printf("ok %zu ", end);
	put_hex(printed.ptr, printed.len);
	putchar(' ');
	put_hex(canonical.ptr, canonical.len);
	printf(" %016" PRIx64 "%016" PRIx64 " %d %d %s", identity.high, identity.low, v->lenient,
		edn_check_readable(v, EDN_SAVE_DEPTH, NULL) == 0, same ? "same" : "DIFFERENT");
	buf_release(&printed);
	buf_release(&canonical);
}

static void put_read(struct slice text, unsigned depth)
{
	struct arena arena = ARENA_INIT;
	struct err err = {0};
	struct edn value;
	size_t end;
	int ret = edn_read(&arena, text, depth, &value, &end, &err);

	if (ret)
		put_error(ret, &err);
	else
		put_value(&value, end);
	arena_release(&arena);
}

static int add_entry(void *context, const struct edn_map_entry *entry)
{
	struct buf *out = context;

	buf_add_format(out, " %zu+%zu %zu+%zu %u %u %d", entry->key.offset, entry->key.len,
		entry->value.offset, entry->value.len, entry->value_depth, entry->value_type,
		entry->lenient);
	return 0;
}

static void put_scan(struct slice text, unsigned depth)
{
	struct edn_map_shape shape;
	struct buf entries = BUF_INIT;
	struct err err = {0};
	int ret = edn_scan_map(text, 0, depth, add_entry, &entries, &shape, &err);

	fputs(" | ", stdout);
	if (ret) {
		put_error(ret, &err);
	} else {
		printf("map %zu %zu %zu %zu %d ", shape.count, shape.open, shape.close, shape.end,
			shape.lenient);
		put_hex(shape.prefix.ptr, shape.prefix.len);
		if (entries.len)
			fwrite(entries.ptr, 1, entries.len, stdout);
	}
	buf_release(&entries);
}

int main(int argc, char **argv)
{
	unsigned depth = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : EDN_LOAD_DEPTH;
	size_t len;

	while (scanf("%zu", &len) == 1 && getchar() == '\n') {
		char *bytes =
			malloc(len + 1); /* exact, so that sanitizers see what reads past it */
		struct slice text = slice_of(bytes, len);

		if (!bytes || fread(bytes, 1, len, stdin) != len)
			return 1;
		put_read(text, depth);
		put_scan(text, depth);
		putchar('\n');
		free(bytes);
	}
	return 0;
}
