/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"

/*
 * A door to the JSON codec for the tests. Requests on stdin: length (4 bytes, little endian) of what
 * follows, one byte that names the operation, the text. Answers on stdout: length, one byte
 * (+ done, - refused, ! broken), text: the result, or "line:column: cause" with a T before it
 * where the text was only cut short, else an F.
 */
enum { MAX_DEPTH = 512 };

typedef int operation_fn(struct arena *arena, struct slice in, struct buf *out, struct err *err);

static int read_edn(struct arena *arena, struct slice in, struct edn *value, struct err *err)
{
	size_t end;

	return edn_read(arena, in, MAX_DEPTH, value, &end, err);
}

static int edn_to_json(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn v;
	int ret = read_edn(arena, in, &v, err);

	if (!ret)
		json_print(out, &v, 0);
	return ret;
}

static int edn_to_document(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn v;
	int ret = read_edn(arena, in, &v, err);

	if (!ret)
		json_print_document(out, &v);
	return ret;
}

static int json_to_edn(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn v;
	int ret = json_read(arena, in, MAX_DEPTH, &v, err);

	if (!ret)
		edn_print(out, &v);
	return ret;
}

static int json_to_json(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn v;
	int ret = json_read(arena, in, MAX_DEPTH, &v, err);

	if (!ret)
		json_print(out, &v, 0);
	return ret;
}

/* Would the printed form read back as this very value? Both layouts, and from JSON's print, too. */
static int check_identity(struct arena *arena, const struct edn *v, unsigned indent,
	struct buf *out, struct err *err)
{
	struct edn back;
	struct buf again = BUF_INIT;
	int ret;

	out->len = 0;
	json_print(out, v, indent);
	ret = json_read(arena, buf_slice(out), MAX_DEPTH, &back, err);
	if (!ret && !edn_identical(v, &back))
		ret = err_set(err, -EPROTO, "the JSON says another value");
	if (!ret) {
		json_print(&again, &back, indent);
		if (!slice_equal(buf_slice(out), buf_slice(&again)))
			ret = err_set(err, -EPROTO, "the JSON is not printed again alike");
	}
	buf_release(&again);
	return ret == -EBADMSG ? -EPROTO : ret;
}

static int both_ways(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn v;
	int ret = read_edn(arena, in, &v, err);

	if (!ret)
		ret = check_identity(arena, &v, 2, out, err);
	if (!ret)
		ret = check_identity(arena, &v, 0, out, err);
	return ret;
}

/* Two JSON texts, a NUL between them: are they one value? */
static int json_same(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	size_t len = strnlen(in.ptr, in.len);
	struct edn a;
	struct edn b;
	int ret = json_read(arena, slice_of(in.ptr, len), MAX_DEPTH, &a, err);

	if (!ret)
		ret = json_read(arena, slice_of(in.ptr + len + 1, in.len - len - 1), MAX_DEPTH, &b,
			err);
	if (!ret)
		buf_add_str(out, edn_identical(&a, &b) ? "same" : "different");
	return ret;
}

static int key_print(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn key;
	struct edn back;
	int ret = read_edn(arena, in, &key, err);

	if (ret)
		return ret;
	json_key_print(out, &key);
	ret = json_key_read(arena, buf_slice(out), &back, err);
	if (ret)
		return -EPROTO;
	return edn_identical(&key, &back) ? 0 : err_set(err, -EPROTO, "another key");
}

static int key_read(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn key;
	int ret = json_key_read(arena, in, &key, err);

	if (!ret)
		edn_print(out, &key);
	return ret;
}

static operation_fn *operation_of(char name)
{
	switch (name) {
	case 'j':
		return edn_to_json;
	case 'd':
		return edn_to_document;
	case 'e':
		return json_to_edn;
	case 'r':
		return json_to_json;
	case 'i':
		return both_ways;
	case 's':
		return json_same;
	case 'k':
		return key_print;
	case 'K':
		return key_read;
	default:
		return NULL;
	}
}

static void describe_error(int ret, const struct err *err, struct buf *out)
{
	char text[ERR_DESCRIBED];

	out->len = 0;
	buf_add_char(out, ret == -EBADMSG ? '-' : '!');
	buf_add_char(out, err->truncated ? 'T' : 'F');
	buf_add_str(out, err_describe(err, text, sizeof(text)));
}

static bool get_frame(char **frame, size_t *len)
{
	unsigned char head[4];

	if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
		return false;
	*len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
	/* exactly as long as the text, so that a sanitizer sees who reads past it */
	*frame = malloc(*len);
	return *frame && *len && fread(*frame, 1, *len, stdin) == *len;
}

static bool put_frame(struct slice text)
{
	unsigned char head[4] = {(unsigned char)text.len, (unsigned char)(text.len >> 8),
		(unsigned char)(text.len >> 16), (unsigned char)(text.len >> 24)};

	return fwrite(head, 1, sizeof(head), stdout) == sizeof(head) &&
	       fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
}

static bool answer(struct slice frame)
{
	operation_fn *operation = operation_of(frame.ptr[0]);
	struct arena arena = ARENA_INIT;
	struct buf result = BUF_INIT;
	struct buf out = BUF_INIT;
	struct err err = {0};
	bool sent;
	int ret;

	if (!operation)
		return false;
	ret = operation(&arena, slice_of(frame.ptr + 1, frame.len - 1), &result, &err);
	if (!ret)
		ret = buf_error(&result);
	buf_add_char(&out, '+');
	buf_add_slice(&out, buf_slice(&result));
	if (ret)
		describe_error(ret, &err, &out);
	sent = !buf_error(&out) && put_frame(buf_slice(&out));
	buf_release(&out);
	buf_release(&result);
	arena_release(&arena);
	return sent;
}

int main(void)
{
	for (;;) {
		char *frame = NULL;
		size_t len = 0;
		bool good = get_frame(&frame, &len);

		if (good)
			good = answer(slice_of(frame, len));
		free(frame);
		if (!good)
			return feof(stdin) ? 0 : 1;
	}
}
