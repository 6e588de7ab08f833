/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "ctl.h"
#include "err.h"

/* The tool beside the mount: for files and stores, where nothing is mounted, and for a mount. */

#define JSON                                 \
	{                                    \
		"--json", 0, NULL, "as JSON" \
	}
#define MNT     "MOUNTPOINT", 1, 1
#define NOTHING "", 0, 0
#define EDN                                                                        \
	{                                                                          \
		"--edn", 0, "FILE", "memory.edn, where it is not beside the store" \
	}
#define MAPPING                                                           \
	{                                                                 \
		"--mapping", 0, "FILE", "as the option mapping of ourofs" \
	}

static const struct ctl_command commands[] = {
	{"status", MNT, "how a mount is", ctl_status, {JSON}},
	{"mode", "MOUNTPOINT [MODE]", 1, 2, "the mode; or switch to another", ctl_mode,
		{JSON, {"--force", 0, NULL, "migrate first what lives only in memory.edn"}}},
	{"migrate", "MOUNTPOINT [WHAT]", 1, 2,
		"to the EAV store: all, sessions, projects, learnings, a key; or pause, resume, "
		"stop",
		ctl_migrate,
		{JSON, {"--wait", 'w', NULL, "until it has ended; shows how far it is"}}},
	{"validate", MNT, "compare both stores of a mount", ctl_validate, {JSON}},
	{"sync", MNT, "bring both stores up to now, on disk", ctl_sync, {{0}}},
	{"events", MNT, "what happened lately in a mount", ctl_events,
		{{"--follow", 'f', NULL, "and what happens from now on"}}},
	{"unmount", MNT, "sync, unmount, and wait for the daemon's end", ctl_unmount,
		{{"--lazy", 'z', NULL, "also while it is in use: it ends when that does"}}},
	{"check", "PATH", 1, 1, "verify a store, mend it; or a memory.edn", ctl_check,
		{{"--repair", 0, NULL, "mend what can be mended"}, JSON}},
	{"backup", "STORE DIR", 2, 2, "a copy of both stores, also while they are mounted",
		ctl_backup, {EDN}},
	{"export", "STORE [FILE]", 1, 2,
		"the whole memory as one EDN map, also while it is mounted", ctl_export,
		{EDN, MAPPING}},
	{"import", "STORE FILE", 2, 2, "put the entities of a file of EDN into the memory",
		ctl_import,
		{EDN, MAPPING, {"--replace", 0, NULL, "what FILE lacks goes"},
			{"--dry-run", 'n', NULL, "say what would change, and change nothing"},
			JSON}},
	{"to-json", NOTHING, "EDN on standard input to the JSON that a mount shows", ctl_to_json,
		{{0}}},
	{"to-edn", NOTHING, "JSON on standard input to EDN", ctl_to_edn, {{0}}},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]), COLUMN = 30 };

char *ctl_printable(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return text;
}

void ctl_complain(const char *format, ...)
{
	char text[8192];
	va_list args;

	fflush(stdout);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "ourofsctl: %s\n", ctl_printable(text));
}

enum ctl_status ctl_end(int ret, const struct err *err)
{
	if (!ret)
		return CTL_FINE;
	ctl_complain("%s", err->text);
	return CTL_FAILED;
}

/* ---- help ---- */

/* What stands behind width columns, in the second column or the next line. */
static void print_behind(FILE *to, int width, const char *text)
{
	if (width >= COLUMN)
		fprintf(to, "\n%*s%s\n", COLUMN, "", text);
	else
		fprintf(to, "%*s%s\n", COLUMN - width, "", text);
}

static void print_option(FILE *to, const struct ctl_option *option)
{
	int width = fprintf(to, "        ");

	if (option->letter)
		width += fprintf(to, "-%c, ", option->letter);
	width += fprintf(to, "%s", option->name);
	if (option->value)
		width += fprintf(to, " %s", option->value);
	print_behind(to, width, option->help);
}

static void print_command(FILE *to, const struct ctl_command *command)
{
	int width = fprintf(to, "    %s%s%s", command->name, *command->usage ? " " : "",
		command->usage);

	print_behind(to, width, command->summary);
	for (size_t i = 0; i < CTL_OPTIONS_MAX && command->options[i].name; i++)
		print_option(to, &command->options[i]);
}

static void print_help(FILE *to)
{
	fprintf(to, "usage: ourofsctl COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		print_command(to, &commands[i]);
	fprintf(to,
		"\n"
		"    -h, --help                this text; behind a command, its part of it\n"
		"    -V, --version             the version\n"
		"\n"
		"Exit status: 0 fine, 1 the input is wrong, or differences or damage were found, "
		"2 it could not run.\n");
}

static void print_command_help(const struct ctl_command *command)
{
	printf("usage: ourofsctl %s%s%s%s\n\n", command->name,
		command->options[0].name ? " [OPTIONS]" : "", *command->usage ? " " : "",
		command->usage);
	print_command(stdout, command);
}

/* ---- the command line ---- */

static enum ctl_status usage_error(const char *cause, const char *word)
{
	ctl_complain("%s%s%s (try ourofsctl --help)", cause, word ? ": " : "", word ? word : "");
	return CTL_FAILED;
}

static bool is_option(const char *word, const char *brief, const char *full)
{
	return strcmp(word, brief) == 0 || strcmp(word, full) == 0;
}

static int find_option(const struct ctl_command *command, const char *word)
{
	for (int i = 0; i < CTL_OPTIONS_MAX && command->options[i].name; i++) {
		const struct ctl_option *option = &command->options[i];
		const char brief[] = {'-', option->letter, '\0'};

		if (strcmp(word, option->name) == 0 || (option->letter && strcmp(word, brief) == 0))
			return i;
	}
	return -1;
}

/* Behind "--" nothing is an option. */
static enum ctl_status run_command(const struct ctl_command *command, int count, char **words)
{
	struct ctl_args args = {0};
	bool options = true;
	int operands = 0;

	for (int i = 0; i < count; i++) {
		bool dashed = options && words[i][0] == '-' && words[i][1];
		int option = dashed ? find_option(command, words[i]) : -1;

		if (dashed && is_option(words[i], "-h", "--help")) {
			print_command_help(command);
			return CTL_FINE;
		}
		if (dashed && strcmp(words[i], "--") == 0) {
			options = false;
		} else if (option >= 0) {
			args.given[option] = true;
			if (command->options[option].value && ++i == count)
				return usage_error("a word is missing behind", words[i - 1]);
			args.values[option] = words[i];
		} else if (dashed) {
			return usage_error("no such option", words[i]);
		} else if (operands == command->most) {
			return usage_error("one argument too many", words[i]);
		} else {
			args.operands[operands++] = words[i];
		}
	}
	if (operands < command->needed)
		return usage_error("too few arguments to", command->name);
	return command->run(&args);
}

static enum ctl_status run(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return CTL_FAILED;
	}
	if (is_option(argv[1], "-h", "--help")) {
		print_help(stdout);
		return CTL_FINE;
	}
	if (is_option(argv[1], "-V", "--version")) {
		printf("ourofsctl %s\n", OUROFS_VERSION);
		return CTL_FINE;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return run_command(&commands[i], argc - 2, argv + 2);
	return usage_error(argv[1][0] == '-' ? "no such option" : "no such command", argv[1]);
}

int main(int argc, char **argv)
{
	enum ctl_status status;

	/* No core dump: what is read here holds tokens. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	status = run(argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		ctl_complain("can't write to standard output");
		return CTL_FAILED;
	}
	return (int)status;
}
