/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "edn.h"
#include "utf8.h"

/*
 * Any bytes as EDN: reader and scanner give one verdict, at one place, and what is read prints as text
 * that reads back as the identical value. Small depths, so that their bound is met.
 */
enum { MAX_DEPTH = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void check_print(const struct edn *v, void (*print)(struct buf *, const struct edn *))
{
	struct arena arena = ARENA_INIT;
	struct buf text = BUF_INIT;
	struct hash128 a = edn_identity(v);
	struct hash128 b;
	struct edn again;
	size_t end;

	print(&text, v);
	must(buf_error(&text) == 0, "memory");
	must(utf8_is_valid(buf_slice(&text)), "what is printed is UTF-8");
	must(edn_read(&arena, buf_slice(&text), MAX_DEPTH, &again, &end, NULL) == 0,
		"what is printed reads back");
	must(end == text.len, "what is printed is one form");
	must(edn_identical(v, &again) && edn_identical(&again, v), "as the identical value");
	must(edn_equal(v, &again) && edn_hash(v) == edn_hash(&again), "as an equal one");
	b = edn_identity(&again);
	must(a.high == b.high && a.low == b.low, "with the same identity");
	buf_release(&text);
	arena_release(&arena);
}

struct entries {
	struct slice text;
	const struct edn *map;
	size_t count;
};

static int check_entry(void *context, const struct edn_map_entry *entry)
{
	struct entries *entries = context;
	struct arena arena = ARENA_INIT;
	struct edn value;
	struct slice text = slice_of(entries->text.ptr + entry->value.offset, entry->value.len);
	size_t end;

	must(entries->count < entries->map->count, "no more entries than in the map");
	must(edn_read(&arena, text, MAX_DEPTH, &value, &end, NULL) == 0 && end == text.len,
		"an entry's value reads alone");
	must(edn_identical(&value, &entries->map->items[2 * entries->count + 1]),
		"as the map's value");
	must(value.type == entry->value_type, "of the type that was said");
	entries->count++;
	arena_release(&arena);
	return 0;
}

static const struct edn_tail *get_tail(void *context)
{
	return context;
}

/* In two halves, from some byte on, the verdict is that of one. */
static void check_halves(struct slice text, int code, const struct err *why)
{
	struct edn_join join = {.wait = get_tail};
	struct edn_map_shape shape;
	struct err err = {0};
	struct edn_tail *tail;

	if (!edn_join_guess(&join, text)) {
		join.from = text.len / 2;
		join.seed = 42;
	}
	tail = edn_tail_scan(text, &join, 0, MAX_DEPTH, NULL, NULL);
	join.context = tail;
	must(edn_scan_map_joined(text, 0, MAX_DEPTH, NULL, NULL, &join, &shape, &err) == code,
		"halves have the verdict of the whole");
	must(err.line == why->line && err.column == why->column, "at the same place");
	edn_tail_free(tail);
}

static void check_scan(struct slice text, const struct edn *map, size_t end)
{
	const struct err none = {0};

	struct entries entries = {text, map, 0};
	struct edn_map_shape shape;

	must(edn_scan_map(text, 0, MAX_DEPTH, check_entry, &entries, &shape, NULL) == 0,
		"the scanner takes what the reader takes");
	must(shape.end == end && shape.count == map->count && entries.count == map->count,
		"and finds the same entries");
	check_halves(text, 0, &none);
}

static void check_refusal(struct slice text, int code, const struct err *why)
{
	struct edn_map_shape shape;
	struct err err = {0};

	must(edn_scan_map(text, 0, MAX_DEPTH, NULL, NULL, &shape, &err) == code,
		"the scanner refuses what the reader refuses");
	must(err.line == why->line && err.column == why->column &&
			err.truncated == why->truncated && strcmp(err.text, why->text) == 0,
		"for the same reason");
	check_halves(text, code, why);
	must(why->line >= 1 && why->column >= 1 && utf8_is_valid(slice_str(why->text)),
		"which can be shown");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	struct arena arena = ARENA_INIT;
	struct err err = {0};
	struct edn value;
	size_t end;
	int ret = edn_read(&arena, text, MAX_DEPTH, &value, &end, &err);

	(void)edn_is_keyword(text);
	(void)edn_is_lenient_keyword(text);
	(void)edn_is_symbol(text);
	if (ret) {
		check_refusal(text, ret, &err);
	} else {
		check_print(&value, edn_print);
		check_print(&value, edn_print_canonical);
		(void)edn_check_readable(&value, MAX_DEPTH / 2, NULL);
		if (value.type == EDN_MAP)
			check_scan(text, &value, end);
	}
	arena_release(&arena);
	return 0;
}
