/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"

/* The tool for files and stores that needs no mount. */

static const struct ctl_command commands[] = {
	{"to-json", 0, "", {NULL}, "EDN on standard input to the JSON that a mount shows",
		ctl_to_json},
	{"to-edn", 0, "", {NULL}, "JSON on standard input to EDN", ctl_to_edn},
	{"check", 1, "PATH", {"--repair", "--json"},
		"verify a store, mend it; or a memory.edn", ctl_check},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

void ctl_complain(const char *cause)
{
	fprintf(stderr, "ourofsctl: %s\n", cause);
}

static void print_command(FILE *to, const struct ctl_command *command)
{
	enum { SUMMARY_AT = 28 };
	int width = fprintf(to, "    %s", command->name);

	for (size_t i = 0; i < CTL_FLAGS_MAX && command->flags[i]; i++)
		width += fprintf(to, " [%s]", command->flags[i]);
	if (*command->usage)
		width += fprintf(to, " %s", command->usage);
	fprintf(to, "%*s%s\n", width < SUMMARY_AT ? SUMMARY_AT - width : 1, "", command->summary);
}

static void print_help(FILE *to)
{
	fprintf(to, "usage: ourofsctl COMMAND\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		print_command(to, &commands[i]);
	fprintf(to,
		"\n"
		"    -h, --help              this text\n"
		"    -V, --version           the version\n"
		"\n"
		"Exit status: 0 fine, 1 the input is wrong, or damage was found, 2 it could not "
		"run.\n");
}

static enum ctl_status usage_error(const char *cause, const char *word)
{
	fprintf(stderr, "ourofsctl: %s%s%s (try ourofsctl --help)\n", cause, word ? ": " : "",
		word ? word : "");
	return CTL_FAILED;
}

static bool is_option(const char *word, const char *brief, const char *full)
{
	return strcmp(word, brief) == 0 || strcmp(word, full) == 0;
}

static bool take_flag(const struct ctl_command *command, const char *word, unsigned *flags)
{
	for (size_t i = 0; i < CTL_FLAGS_MAX && command->flags[i]; i++) {
		if (strcmp(word, command->flags[i]) == 0) {
			*flags |= 1U << i;
			return true;
		}
	}
	return false;
}

/* Operands are moved to the front of words. Behind "--" nothing is an option. */
static enum ctl_status run_command(const struct ctl_command *command, int count, char **words)
{
	bool options = true;
	unsigned flags = 0;
	int operands = 0;

	for (int i = 0; i < count; i++) {
		if (options && is_option(words[i], "-h", "--help")) {
			print_help(stdout);
			return CTL_FINE;
		}
		if (options && strcmp(words[i], "--") == 0)
			options = false;
		else if (options && take_flag(command, words[i], &flags))
			continue;
		else if (options && words[i][0] == '-' && words[i][1])
			return usage_error("no such option", words[i]);
		else if (operands == command->operands)
			return usage_error("one argument too many", words[i]);
		else
			words[operands++] = words[i];
	}
	if (operands < command->operands)
		return usage_error("too few arguments to", command->name);
	return command->run(words, flags);
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
	enum ctl_status status = run(argc, argv);

	if (fflush(stdout) || ferror(stdout)) {
		ctl_complain("can't write to standard output");
		return CTL_FAILED;
	}
	return (int)status;
}
