/* SPDX-License-Identifier: MIT */
/*
 * A door to schema and path for tests/test_path.py: one request a line, one answer a line.
 *
 *	verb argument ...	the arguments in hex, '-' for an empty one
 *	ok answer ...		likewise
 *	error text
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "path.h"

enum { ARGS_MAX = 3 };

struct probe {
	struct schema *schema;
	struct arena arena;
	struct path_place place; /* kept over requests, as a caller may do */
	struct buf args[ARGS_MAX];
	struct buf out;
	struct err err;
};

static struct slice arg(const struct probe *probe, int i)
{
	return buf_slice(&probe->args[i]);
}

static bool flag(const struct probe *probe, int i)
{
	return probe->args[i].len && probe->args[i].ptr[0] == '1';
}

static void answer(struct probe *probe, struct slice bytes)
{
	buf_add_char(&probe->out, ' ');
	for (size_t i = 0; i < bytes.len; i++)
		buf_add_format(&probe->out, "%02x", (unsigned char)bytes.ptr[i]);
	if (bytes.len == 0)
		buf_add_char(&probe->out, '-');
}

static void answer_number(struct probe *probe, size_t number)
{
	char digits[32];

	snprintf(digits, sizeof(digits), "%zu", number);
	answer(probe, slice_str(digits));
}

static int read_value(struct probe *probe, int i, struct edn *value)
{
	size_t end;
	int ret = edn_read(&probe->arena, arg(probe, i), EDN_LOAD_DEPTH, value, &end, &probe->err);

	if (ret == 0 && end != probe->args[i].len)
		return err_set(&probe->err, -EBADMSG, "more than one form");
	return ret;
}

static int answer_buf(struct probe *probe, const struct buf *text)
{
	answer(probe, buf_slice(text));
	return buf_error(text);
}

static int do_key(struct probe *probe)
{
	struct edn key;
	struct buf path = BUF_INIT;
	int ret = read_value(probe, 1, &key);

	if (ret == 0)
		ret = path_of_key(probe->schema, &key, flag(probe, 0), &path);
	if (ret == 0)
		ret = answer_buf(probe, &path);
	buf_release(&path);
	return ret;
}

static int do_key_text(struct probe *probe)
{
	struct buf path = BUF_INIT;
	int ret = path_of_key_text(probe->schema, arg(probe, 1), flag(probe, 0), &path);

	if (ret == 0)
		ret = answer_buf(probe, &path);
	buf_release(&path);
	return ret;
}

static enum schema_member plain(const struct probe *probe)
{
	return flag(probe, 0) ? SCHEMA_KEYWORD : SCHEMA_STRING;
}

static int do_member(struct probe *probe)
{
	struct edn member;
	struct buf name = BUF_INIT;
	int ret = read_value(probe, 1, &member);

	if (ret == 0)
		ret = path_of_member(plain(probe), &member, &name);
	if (ret == 0)
		ret = answer_buf(probe, &name);
	buf_release(&name);
	return ret;
}

static int do_member_text(struct probe *probe)
{
	struct buf name = BUF_INIT;
	int ret = path_of_member_text(plain(probe), arg(probe, 1), &name);

	if (ret == 0)
		ret = answer_buf(probe, &name);
	buf_release(&name);
	return ret;
}

static int do_parse(struct probe *probe)
{
	static const char *const KINDS[] = {
		"none", "document", "member", "directory", "scratch", "cut"};
	struct path_place *place = &probe->place;
	int ret = path_parse(probe->schema, arg(probe, 0), place, &probe->err);

	if (ret < 0)
		return ret;
	answer(probe, slice_str(KINDS[place->kind]));
	answer_number(probe, place->collection);
	answer_number(probe, place->lenient);
	answer(probe, buf_slice(&place->key));
	answer(probe, buf_slice(&place->member));
	answer(probe, slice_str(place->kind == PATH_NONE ? probe->err.text : ""));
	return 0;
}

static int do_scratch(struct probe *probe)
{
	answer_number(probe, path_is_scratch_name(arg(probe, 0)));
	return 0;
}

static int do_same(struct probe *probe)
{
	struct edn a, b;
	int ret = read_value(probe, 0, &a);

	if (ret == 0)
		ret = read_value(probe, 1, &b);
	if (ret == 0)
		answer_number(probe, edn_identical(&a, &b));
	return ret;
}

static int do_canonical(struct probe *probe)
{
	struct buf text = BUF_INIT;
	struct edn value;
	int ret = read_value(probe, 0, &value);

	if (ret == 0) {
		edn_print_canonical(&text, &value);
		ret = answer_buf(probe, &text);
	}
	buf_release(&text);
	return ret;
}

static int do_json_key(struct probe *probe)
{
	struct buf text = BUF_INIT;
	struct edn value;
	int ret = read_value(probe, 0, &value);

	if (ret == 0) {
		json_key_print(&text, &value);
		ret = answer_buf(probe, &text);
	}
	buf_release(&text);
	return ret;
}

static int do_schema(struct probe *probe)
{
	return schema_add(probe->schema, arg(probe, 0), &probe->err);
}

static int do_reset(struct probe *probe)
{
	schema_free(probe->schema);
	probe->schema = NULL;
	return schema_new(&probe->schema, &probe->err);
}

static int do_match(struct probe *probe)
{
	const struct schema_row *row = schema_match(probe->schema, arg(probe, 0));
	const struct schema_row *collection = schema_collection(probe->schema, arg(probe, 0));

	answer(probe, slice_str(row ? row->pattern : ""));
	answer(probe, slice_str(row ? row->type : ""));
	answer_number(probe, collection != NULL);
	answer_number(probe, collection && collection->member == SCHEMA_KEYWORD);
	answer_number(probe, schema_collection_prefix(probe->schema, arg(probe, 0)));
	return 0;
}

static int do_type(struct probe *probe)
{
	struct edn key, value;
	int ret = read_value(probe, 0, &key);

	if (ret == 0 && probe->args[1].len)
		ret = read_value(probe, 1, &value);
	if (ret == 0)
		answer(probe, slice_str(schema_type(probe->schema, &key,
				      probe->args[1].len ? &value : NULL)));
	return ret;
}

static const struct {
	const char *verb;
	int (*run)(struct probe *probe);
} VERBS[] = {
	{"key", do_key},
	{"key-text", do_key_text},
	{"member", do_member},
	{"member-text", do_member_text},
	{"parse", do_parse},
	{"scratch", do_scratch},
	{"same", do_same},
	{"canonical", do_canonical},
	{"json-key", do_json_key},
	{"schema", do_schema},
	{"reset", do_reset},
	{"match", do_match},
	{"type", do_type},
};

static void read_hex(const char *hex, struct buf *bytes)
{
	unsigned byte;

	buf_reset(bytes);
	for (; hex[0] && hex[1] && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		buf_add_char(bytes, (char)byte);
}

static int run(struct probe *probe, char *line)
{
	const char *verb;

	line[strcspn(line, "\n")] = '\0';
	verb = strsep(&line, " ");

	for (int i = 0; i < ARGS_MAX; i++) {
		const char *hex = strsep(&line, " ");

		read_hex(hex ? hex : "", &probe->args[i]);
		if (buf_error(&probe->args[i]))
			return -ENOMEM;
	}
	for (size_t i = 0; verb && i < sizeof(VERBS) / sizeof(VERBS[0]); i++)
		if (strcmp(verb, VERBS[i].verb) == 0)
			return VERBS[i].run(probe);
	return err_set(&probe->err, -EINVAL, "no such verb");
}

int main(void)
{
	struct probe probe = {0};
	char *line = NULL;
	size_t size = 0;
	int ret = schema_new(&probe.schema, NULL);

	while (ret == 0 && getline(&line, &size, stdin) > 0) {
		int done;

		arena_reset(&probe.arena);
		buf_reset(&probe.out);
		err_set(&probe.err, 0, "no reason");
		done = run(&probe, line);
		if (done >= 0 && buf_error(&probe.out))
			done = -ENOMEM;
		if (done < 0)
			printf("error %d %s\n", done, probe.err.text);
		else
			printf("ok%.*s\n", (int)probe.out.len, probe.out.ptr ? probe.out.ptr : "");
		fflush(stdout);
	}
	schema_free(probe.schema);
	arena_release(&probe.arena);
	path_place_release(&probe.place);
	for (int i = 0; i < ARGS_MAX; i++)
		buf_release(&probe.args[i]);
	buf_release(&probe.out);
	free(line);
	return ret == 0 ? 0 : 1;
}
