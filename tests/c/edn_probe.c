/* SPDX-License-Identifier: MIT */
/*
 * Reads texts from stdin (each: its length in decimal, a newline, the bytes) and says of each, on one
 * line, what the reader and the scanner make of it. Bytes are in hexadecimal behind an x.
 *
 *	ok END PRINTED CANONICAL IDENTITY READABLE SELF LENIENT | SCAN
 *	error CODE LINE COLUMN TRUNCATED MESSAGE | SCAN
 *
 * SELF is "same" when the printed texts read back as the identical value, and the scanner agrees on the form as
 * the value of a map. SCAN is
 *
 *	map COUNT OPEN CLOSE END LENIENT PREFIX (KEY VALUE DEPTH TYPE LENIENT)...
 *	error CODE LINE COLUMN TRUNCATED MESSAGE
 *
 * or DIFFERENT, where a scan in two halves says something else.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "edn.h"

static void put_hex(const char *bytes, size_t len)
{
	putchar('x');
	for (size_t i = 0; i < len; i++)
		printf("%02x", (unsigned)(unsigned char)bytes[i]);
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
	struct edn again;
	size_t end;
	bool same = edn_read(&arena, text, EDN_LOAD_DEPTH, &again, &end, NULL) == 0;

	same = same && end == text.len && edn_identical(v, &again) && edn_identical(&again, v);
	same = same && edn_equal(v, &again) && edn_hash(v) == edn_hash(&again);
	if (same) {
		struct hash128 b = edn_identity(&again);

		same = a.high == b.high && a.low == b.low;
	}
	arena_release(&arena);
	return same;
}

static unsigned depth_of(const struct edn *v)
{
	size_t count = v->type == EDN_MAP ? 2 * (size_t)v->count : v->count;
	unsigned deepest = 0;

	if (v->type < EDN_LIST)
		return 0;
	for (size_t i = 0; i < (v->type == EDN_TAGGED ? 2 : count); i++) {
		unsigned depth = depth_of(&v->items[i]);

		deepest = depth > deepest ? depth : deepest;
	}
	return deepest + 1;
}

static int keep_entry(void *context, const struct edn_map_entry *entry)
{
	*(struct edn_map_entry *)context = *entry;
	return 0;
}

/* Does the scanner see the same form as the value of a map? -1, or its flag for leniency. */
static int scan_as_value(const struct edn *v, struct slice form)
{
	struct buf text = BUF_INIT;
	struct edn_map_entry entry = {0};
	struct edn_map_shape shape;
	bool agrees;

	buf_add_str(&text, "{0 ");
	buf_add_slice(&text, form);
	buf_add_str(&text, "\n}");
	agrees = edn_scan_map(buf_slice(&text), 0, EDN_LOAD_DEPTH + 1, keep_entry, &entry, &shape,
			 NULL) == 0 &&
		 shape.count == 1 && entry.value_type == v->type &&
		 entry.value_depth == depth_of(v) &&
		 entry.value.offset + entry.value.len == 3 + form.len;
	buf_release(&text);
	return agrees ? shape.lenient : -1;
}

static void put_value(const struct edn *v, struct slice form)
{
	struct hash128 identity = edn_identity(v);
	struct buf printed = BUF_INIT;
	struct buf canonical = BUF_INIT;
	int lenient = scan_as_value(v, form);
	bool same;

	edn_print(&printed, v);
	edn_print_canonical(&canonical, v);
	same = reads_back(v, buf_slice(&printed)) && reads_back(v, buf_slice(&canonical));
	if (buf_error(&printed) || buf_error(&canonical)) {
		struct err err = {0};

		err_set(&err, -ENOMEM, "out of memory");
		put_error(-ENOMEM, &err);
		goto out;
	}
	printf("ok %zu ", form.len);
	put_hex(printed.ptr, printed.len);
	putchar(' ');
	put_hex(canonical.ptr, canonical.len);
	printf(" %016" PRIx64 "%016" PRIx64 " %d %s %d", identity.high, identity.low,
		edn_check_readable(v, EDN_SAVE_DEPTH, NULL) == 0,
		same && lenient >= 0 ? "same" : "DIFFERENT", lenient);
out:
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
		put_value(&value, slice_of(text.ptr, end));
	arena_release(&arena);
}

static int add_entry(void *context, const struct edn_map_entry *entry)
{
	buf_add_format(context, " %zu+%zu %zu+%zu %u %u %d", entry->key.offset, entry->key.len,
		entry->value.offset, entry->value.len, entry->value_depth, entry->value_type,
		entry->lenient);
	return 0;
}

struct scanned {
	struct edn_map_shape shape;
	struct buf entries;
	struct err err;
	int ret;
};

static void scan(struct scanned *scanned, struct slice text, unsigned depth, struct edn_join *join)
{
	*scanned = (struct scanned){.entries = BUF_INIT};
	scanned->ret = edn_scan_map_joined(text, 0, depth, add_entry, &scanned->entries, join,
		&scanned->shape, &scanned->err);
	if (!scanned->ret && buf_error(&scanned->entries))
		scanned->ret = err_set(&scanned->err, -ENOMEM, "out of memory");
}

static bool same_scan(const struct scanned *a, const struct scanned *b)
{
	const struct edn_map_shape *x = &a->shape, *y = &b->shape;

	if (a->ret || b->ret)
		return a->ret == b->ret && a->err.line == b->err.line &&
		       a->err.column == b->err.column && strcmp(a->err.text, b->err.text) == 0;
	return x->open == y->open && x->close == y->close && x->end == y->end &&
	       x->count == y->count && x->lenient == y->lenient &&
	       slice_equal(x->prefix, y->prefix) &&
	       slice_equal(buf_slice(&a->entries), buf_slice(&b->entries));
}

static const struct edn_tail *get_tail(void *context)
{
	return context;
}

/*
 * Is it the same where the second half was scanned by itself, from there on? *joined is counted up where that counts.
 * Where memory was out it is in whole.
 */
static bool is_same_in_halves(struct scanned *whole, struct slice text, unsigned depth, size_t from,
	size_t *joined)
{
	struct edn_join join = {.from = from, .seed = 42, .wait = get_tail};
	struct buf behind = BUF_INIT;
	struct edn_tail *tail;
	struct scanned halves;
	bool same;

	errno = 0;
	tail = edn_tail_scan(text, &join, 0, depth, add_entry, &behind);
	join.context = tail;
	scan(&halves, text, depth, &join);
	if (join.joined)
		buf_add_slice(&halves.entries, buf_slice(&behind));
	*joined += join.joined;
	same = same_scan(whole, &halves);
	if (halves.ret == -ENOMEM || buf_error(&halves.entries) || buf_error(&behind) ||
		(!tail && errno == ENOMEM)) {
		whole->ret = err_set(&whole->err, -ENOMEM, "out of memory");
		same = true;
	}
	buf_release(&halves.entries);
	buf_release(&behind);
	edn_tail_free(tail);
	return same;
}

/* From each byte on, of a short text: then behind each entry there is a half. */
static bool is_same_in_all_halves(struct scanned *whole, struct slice text, unsigned depth)
{
	enum { SHORT = 300 };
	struct edn_join guess = {0};
	size_t joined = 0;
	bool same = !edn_join_guess(&guess, text) ||
		    (guess.from <= text.len &&
			    is_same_in_halves(whole, text, depth, guess.from, &joined));

	joined = 0;
	for (size_t from = 1;
		text.len <= SHORT && from <= text.len && same && whole->ret != -ENOMEM; from++)
		same = is_same_in_halves(whole, text, depth, from, &joined);
	/* metadata before the map, and its prefix, are what a half doesn't know of */
	return same && (text.len > SHORT || whole->ret || !joined || joined == whole->shape.count);
}

static void put_scan(struct slice text, unsigned depth)
{
	struct scanned whole;

	scan(&whole, text, depth, NULL);
	fputs(" | ", stdout);
	if (whole.ret != -ENOMEM && !is_same_in_all_halves(&whole, text, depth)) {
		fputs("DIFFERENT in halves", stdout);
	} else if (whole.ret) {
		put_error(whole.ret, &whole.err);
	} else {
		printf("map %zu %zu %zu %zu %d ", whole.shape.count, whole.shape.open,
			whole.shape.close, whole.shape.end, whole.shape.lenient);
		put_hex(whole.shape.prefix.ptr, whole.shape.prefix.len);
		fwrite(whole.entries.ptr ? whole.entries.ptr : "", 1, whole.entries.len, stdout);
	}
	buf_release(&whole.entries);
}

int main(int argc, char **argv)
{
	unsigned depth = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : EDN_LOAD_DEPTH;
	size_t len;

	while (scanf("%zu", &len) == 1 && getchar() == '\n') {
		char *bytes = malloc(len ? len : 1); /* exact: sanitizers see what reads past it */
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
