/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "json.h"

/* The tool for files and stores that needs no mount: one row of a table for each of its commands. */

enum status {
	STATUS_FINE = 0,
	STATUS_WRONG = 1,  /* what it looked at is not as it should be */
	STATUS_FAILED = 2, /* it could not look */
};

struct command {
	const char *name;
	int operands;      /* how many words follow the name */
	const char *usage; /* those words */
	const char *summary;
	enum status (*run)(char **operands);
};

static void complain(const char *cause)
{
	fprintf(stderr, "ourofsctl: %s\n", cause);
}

/* ---- filters ---- */

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

static int write_all(int fd, struct slice out)
{
	while (out.len) {
		ssize_t put = write(fd, out.ptr, out.len);

		if (put >= 0)
			out = slice_of(out.ptr + put, out.len - (size_t)put);
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Turns text into the other form. A complaint about the text itself is -EBADMSG. */
typedef int convert_fn(struct arena *arena, struct slice in, struct buf *out, struct err *err);

static enum status convert_failed(int ret, const struct err *err)
{
	char text[sizeof(err->text) + 32];

	complain(err_describe(err, text, sizeof(text)));
	return ret == -EBADMSG ? STATUS_WRONG : STATUS_FAILED;
}

static enum status filter(convert_fn *convert)
{
	struct arena arena = ARENA_INIT;
	struct buf in = BUF_INIT;
	struct buf out = BUF_INIT;
	struct err err = {0};
	enum status status = STATUS_FINE;
	int ret = read_all(STDIN_FILENO, &in);

	if (ret)
		err_set(&err, ret, "can't read standard input: %s", strerror(-ret));
	if (!ret)
		ret = convert(&arena, buf_slice(&in), &out, &err);
	if (!ret) {
		ret = write_all(STDOUT_FILENO, buf_slice(&out));
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
		complain("what follows the first form is ignored, as Clojure does");
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

static enum status run_to_json(char **operands)
{
	(void)operands;
	return filter(edn_to_json);
}

static enum status run_to_edn(char **operands)
{
	(void)operands;
	return filter(json_to_edn);
}

/* ---- the command line ---- */

static const struct command commands[] = {
	{"to-json", 0, "", "EDN on standard input to the JSON that a mount shows", run_to_json},
	{"to-edn", 0, "", "JSON on standard input to EDN", run_to_edn},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_help(FILE *to)
{
	fprintf(to, "usage: ourofsctl COMMAND\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "    %s%s%-*s %s\n", commands[i].name, *commands[i].usage ? " " : "",
			(int)(20 - strlen(commands[i].name)), commands[i].usage,
			commands[i].summary);
	fprintf(to, "\n"
		    "    -h, --help           this text\n"
		    "    -V, --version        the version\n"
		    "\n"
		    "Exit status: 0 fine, 1 the input is wrong, 2 it could not run.\n");
}

static enum status usage_error(const char *cause, const char *word)
{
	fprintf(stderr, "ourofsctl: %s%s%s (try ourofsctl --help)\n", cause, word ? ": " : "",
		word ? word : "");
	return STATUS_FAILED;
}

static bool is_option(const char *word, const char *brief, const char *full)
{
	return strcmp(word, brief) == 0 || strcmp(word, full) == 0;
}

static enum status run_command(const struct command *command, int count, char **operands)
{
	for (int i = 0; i < count; i++) {
		if (is_option(operands[i], "-h", "--help")) {
			print_help(stdout);
			return STATUS_FINE;
		}
	}
	if (count < command->operands)
		return usage_error("too few arguments to", command->name);
	if (count > command->operands)
		return usage_error("one argument too many", operands[command->operands]);
	return command->run(operands);
}

static enum status run(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return STATUS_FAILED;
	}
	if (is_option(argv[1], "-h", "--help")) {
		print_help(stdout);
		return STATUS_FINE;
	}
	if (is_option(argv[1], "-V", "--version")) {
		printf("ourofsctl %s\n", OUROFS_VERSION);
		return STATUS_FINE;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return run_command(&commands[i], argc - 2, argv + 2);
	return usage_error(argv[1][0] == '-' ? "no such option" : "no such command", argv[1]);
}

int main(int argc, char **argv)
{
	enum status status = run(argc, argv);

	if (fflush(stdout) || ferror(stdout)) {
		complain("can't write to standard output");
		return STATUS_FAILED;
	}
	return (int)status;
}
