/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <errno.h>
#include <unistd.h>

#include "json.h"
#include "write_all.h"

static int read_all(int fd, struct buf *in)
{
	enum { PIECE = 1 << 16 };

	for (;;) {
		char *to = buf_reserve(in, PIECE);
		ssize_t got;

		if (!to)
			return -ENOMEM;
		got = read(fd, to, PIECE);
		if (got == 0)
			return 0;
		if (got > 0)
			in->len += (size_t)got;
		else if (errno != EINTR)
			return -errno;
	}
}

/* Turns text into the other form. A complaint about the text itself is -EBADMSG. */
typedef int convert_fn(struct arena *arena, struct slice in, struct buf *out, struct err *err);

static enum ctl_status convert_failed(int ret, const struct err *err)
{
	char text[ERR_DESCRIBED];

	ctl_complain("%s", err_describe(err, text, sizeof(text)));
	return ret == -EBADMSG ? CTL_WRONG : CTL_FAILED;
}

static enum ctl_status filter(convert_fn *convert)
{
	struct arena arena = ARENA_INIT;
	struct buf in = BUF_INIT;
	struct buf out = BUF_INIT;
	struct err err = {0};
	enum ctl_status status = CTL_FINE;
	int ret = read_all(STDIN_FILENO, &in);

	if (ret)
		err_set(&err, ret, "can't read standard input: %s", strerror(-ret));
	if (!ret)
		ret = convert(&arena, buf_slice(&in), &out, &err);
	if (!ret) {
		ret = write_all(STDOUT_FILENO, out.ptr, out.len);
		if (ret)
			err_set(&err, ret, "can't write to standard output: %s", strerror(-ret));
	}
	if (ret)
		status = convert_failed(ret, &err);
	buf_release(&out);
	buf_release(&in);
	arena_release(&arena);
	return status;
}

static int out_error(const struct buf *out, struct err *err)
{
	return buf_error(out) ? err_set(err, -ENOMEM, "no memory") : 0;
}

/*
 * Does text hold no form, only blanks, comments and discards? Told by putting one behind it and
 * reading the first; a number, as it can't take metadata or anything else that may wait for a form.
 */
static bool is_blank(struct arena *arena, struct slice text)
{
	struct buf probe = BUF_INIT;
	struct edn value;
	size_t end = 0;
	bool blank;

	buf_add_slice(&probe, text);
	buf_add_str(&probe, "\n0");
	blank = !buf_error(&probe) &&
		!edn_read(arena, buf_slice(&probe), EDN_LOAD_DEPTH, &value, &end, NULL) &&
		value.type == EDN_INT && end == probe.len;
	buf_release(&probe);
	return blank;
}

/* As clojure.edn/read-string and a mount, takes the first form; what follows is not passed over in silence. */
static int edn_to_json(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn value;
	size_t end = 0;
	int ret = edn_read(arena, in, EDN_LOAD_DEPTH, &value, &end, err);

	if (ret)
		return ret;
	if (!is_blank(arena, slice_of(in.ptr + end, in.len - end)))
		ctl_complain("what follows the first form is ignored, as Clojure does");
	json_print_document(out, &value);
	return out_error(out, err);
}

static int json_to_edn(struct arena *arena, struct slice in, struct buf *out, struct err *err)
{
	struct edn value;
	int ret = json_read(arena, in, EDN_LOAD_DEPTH, &value, err);

	if (ret)
		return ret;
	edn_print(out, &value);
	buf_add_char(out, '\n');
	return out_error(out, err);
}

enum ctl_status ctl_to_json(const struct ctl_args *args)
{
	(void)args;
	return filter(edn_to_json);
}

enum ctl_status ctl_to_edn(const struct ctl_args *args)
{
	(void)args;
	return filter(json_to_edn);
}
