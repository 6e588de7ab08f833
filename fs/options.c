/* SPDX-License-Identifier: MIT */
#include "options_table.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"

enum { WORD_MAX_BYTES = 4096 };

/* ---- parsing ---- */

/* Does the row's word stand for this one? *value gets what is behind the '='. */
static bool row_takes(const struct option_row *row, const char *word, const char **value)
{
	size_t len = row->word ? strlen(row->word) : 0;
	char last = len ? row->word[len - 1] : '\0';

	*value = NULL;
	if (len == 0 || row->dashed)
		return false;
	if (last == '*')
		return strncmp(row->word, word, len - 1) == 0;
	if (last != '=')
		return strcmp(row->word, word) == 0;
	*value = word + len;
	return strncmp(row->word, word, len) == 0;
}

/* Why no row takes the word. */
static int refuse(const char *word, struct err *err)
{
	size_t len = strcspn(word, "=");

	for (size_t i = 0; i < option_row_count; i++) {
		const char *known = option_rows[i].word;
		if (!known || option_rows[i].dashed || strncmp(known, word, len) != 0)
			continue;
		if (strcmp(known + len, "=") == 0)
			return err_set(err, -EINVAL, "option '%s' needs a value", word);
		if (known[len] == '\0' && word[len] == '=')
			return err_set(err, -EINVAL, "option '%s' takes no value", known);
	}
	return err_set(err, -EINVAL, "unknown option '-o %s'", word);
}

static int parse_word(struct options *options, const char *word, struct err *err)
{
	for (size_t i = 0; i < option_row_count; i++) {
		const char *value;
		if (!row_takes(&option_rows[i], word, &value))
			continue;
		if (value && *value == '\0' && option_rows[i].set != option_ignore)
			return err_set(err, -EINVAL, "option '%s' needs a value", word);
		return option_rows[i].set(options, &option_rows[i], value, err);
	}
	return refuse(word, err);
}

/*
 * One word of "a,b=c\,d": a backslash takes what is special off the next character, and stands with
 * three octal digits for a byte, as in fstab and libfuse. Returns behind the word.
 */
static const char *next_word(const char *p, struct buf *word)
{
	buf_reset(word);
	for (; *p && *p != ','; p++) {
		if (*p != '\\' || p[1] == '\0') {
			buf_add_char(word, *p);
		} else if (p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
			   p[3] >= '0' && p[3] <= '7') {
			buf_add_char(word,
				(char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')));
			p += 3;
		} else {
			buf_add_char(word, *++p);
		}
	}
	return *p ? p + 1 : p;
}

static int parse_words(struct options *options, const char *words, struct err *err)
{
	struct buf word = BUF_INIT;
	int ret = 0;

	while (!ret && *words) {
		words = next_word(words, &word);
		const char *text = buf_cstr(&word);
		if (!text)
			ret = err_set(err, -ENOMEM, "out of memory");
		else if (strlen(text) > WORD_MAX_BYTES)
			ret = err_set(err, -EINVAL, "an option is longer than %d bytes",
				WORD_MAX_BYTES);
		else if (*text)
			ret = parse_word(options, text, err);
	}
	buf_release(&word);
	return ret;
}

static const struct option_row *row_of_letter(char letter)
{
	for (size_t i = 0; i < option_row_count; i++)
		if (letter && option_rows[i].letter == letter)
			return &option_rows[i];
	return NULL;
}

/* "-f", "-fs", "-oro", "-fo" "ro". *next is the argument that follows; taken, it becomes NULL. */
static int parse_letters(struct options *options, const char *letters, const char **next,
	struct err *err)
{
	for (; *letters; letters++) {
		const struct option_row *row = row_of_letter(*letters);
		if (row) {
			row->set(options, row, NULL, err);
			continue;
		}
		if (*letters != 'o')
			return err_set(err, -EINVAL, "unknown option '-%c'", *letters);
		if (letters[1])
			return parse_words(options, letters + 1, err);
		if (!*next)
			return err_set(err, -EINVAL, "option '-o' needs a value");
		letters = *next;
		*next = NULL;
		return parse_words(options, letters, err);
	}
	return 0;
}

static int parse_long(struct options *options, const char *word, struct err *err)
{
	for (size_t i = 0; i < option_row_count; i++)
		if (option_rows[i].dashed && strcmp(option_rows[i].word, word) == 0)
			return option_rows[i].set(options, &option_rows[i], NULL, err);
	return err_set(err, -EINVAL, "unknown option '--%s'", word);
}

/* ---- paths ---- */

/* dir + "/" + name, without a doubled slash. NULL: out of memory. */
static char *join(const char *dir, const char *name)
{
	struct buf path = BUF_INIT;

	buf_add_str(&path, dir);
	if (path.len == 0 || path.ptr[path.len - 1] != '/')
		buf_add_char(&path, '/');
	buf_add_str(&path, name);
	buf_add_char(&path, '\0');
	if (!buf_error(&path))
		return path.ptr;
	buf_release(&path);
	return NULL;
}

/* Absolute by the working directory alone: the path itself may be on a mount that is dead. */
static int make_absolute(char **path, struct err *err)
{
	char *cwd;
	char *joined;

	if ((*path)[0] == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return err_set(err, -EINVAL, "the working directory has no path: %s",
			strerror(errno));
	joined = join(cwd, *path);
	free(cwd);
	if (!joined)
		return err_set(err, -ENOMEM, "out of memory");
	free(*path);
	*path = joined;
	return 0;
}

/* Resolves the directory that path stands in, and path too where it is there. */
static int resolve(char **path, struct err *err)
{
	char *resolved = realpath(*path, NULL);
	char *slash;
	char *dir;

	if (!resolved && errno == ENOENT) {
		for (size_t len = strlen(*path); len > 1 && (*path)[len - 1] == '/'; len--)
			(*path)[len - 1] = '\0';
		slash = strrchr(*path, '/'); /* the path is absolute */
		*slash = '\0';
		dir = realpath(slash == *path ? "/" : *path, NULL);
		*slash = '/';
		resolved = dir ? join(dir, slash + 1) : NULL;
		if (dir && !resolved)
			errno = ENOMEM;
		free(dir);
	}
	if (!resolved)
		return err_set(err, -EINVAL, "%s: %s", *path, strerror(errno));
	free(*path);
	*path = resolved;
	return 0;
}

/* memory.edn -> memory.eav beside it, so that two memories in one directory have two stores. */
static int default_store(struct options *options, struct err *err)
{
	size_t len = strlen(options->edn_path);
	struct buf path = BUF_INIT;

	if (len > 4 && strcmp(options->edn_path + len - 4, ".edn") == 0 &&
		options->edn_path[len - 5] != '/')
		len -= 4;
	buf_add(&path, options->edn_path, len);
	buf_add(&path, ".eav", sizeof(".eav"));
	if (buf_error(&path)) {
		buf_release(&path);
		return err_set(err, -ENOMEM, "out of memory");
	}
	options->store_dir = path.ptr;
	return 0;
}

static int settle_paths(struct options *options, struct err *err)
{
	char **files[] = {&options->edn_path, &options->store_dir, &options->mapping_path};
	int ret = make_absolute(&options->mountpoint, err);

	for (size_t i = 0; !ret && i < sizeof(files) / sizeof(*files); i++) {
		if (!*files[i])
			continue;
		ret = make_absolute(files[i], err);
		if (!ret)
			ret = resolve(files[i], err);
	}
	if (!ret && !options->store_dir)
		ret = default_store(options, err);
	return ret;
}

/* ---- the whole ---- */

static void set_defaults(struct options *options)
{
	*options = (struct options){
		.uid = getuid(),
		.gid = getgid(),
		.edn_delay_ms = 100,
		.max_threads = 10,
		.max_idle_threads = 10,
		.doc_max_bytes = (size_t)32 << 20,
		.scratch_max_bytes = (size_t)256 << 20,
	};
}

static int take_path(struct options *options, const char *arg, struct err *err)
{
	char **path = !options->edn_path ? &options->edn_path : &options->mountpoint;

	if (options->edn_path && options->mountpoint)
		return err_set(err, -EINVAL, "unexpected argument '%s'", arg);
	if (*arg == '\0')
		return err_set(err, -EINVAL, "%s is empty",
			path == &options->edn_path ? "MEMORY.EDN" : "MOUNTPOINT");
	*path = strdup(arg);
	return *path ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int options_parse(struct options *options, int argc, char **argv, struct err *err)
{
	bool paths_only = false;
	int ret = 0;

	set_defaults(options);
	for (int i = 1; !ret && i < argc && argv[i]; i++) {
		const char *arg = argv[i];
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		bool had_next = next != NULL;

		if (paths_only || arg[0] != '-' || arg[1] == '\0')
			ret = take_path(options, arg, err);
		else if (strcmp(arg, "--") == 0)
			paths_only = true;
		else if (arg[1] == '-')
			ret = parse_long(options, arg + 2, err);
		else
			ret = parse_letters(options, arg + 1, &next, err);
		i += had_next && !next;
		if (!ret && (options->show_help || options->show_version))
			return 0;
	}
	if (ret)
		return ret;
	if (!options->edn_path || !options->mountpoint)
		return err_set(err, -EINVAL, "%s is missing",
			options->edn_path ? "MOUNTPOINT" : "MEMORY.EDN");
	options->foreground = options->foreground || options->debug;
	return settle_paths(options, err);
}

void options_release(struct options *options)
{
	free(options->edn_path);
	free(options->mountpoint);
	free(options->store_dir);
	free(options->mapping_path);
	free(options->mode);
	free(options->fuse_options);
	*options = (struct options){0};
}

/* ---- help ---- */

static void print_row(const struct option_row *row)
{
	char label[64];
	int len;

	if (row->dashed)
		len = snprintf(label, sizeof(label), "-%c, --%s", row->letter, row->word);
	else if (row->letter && row->word)
		len = snprintf(label, sizeof(label), "-%c, -o %s", row->letter, row->word);
	else if (row->letter)
		len = snprintf(label, sizeof(label), "-%c", row->letter);
	else
		len = snprintf(label, sizeof(label), "-o %s%s", row->word,
			row->value ? row->value : "");
	printf("    %-24s%s%s\n", label, len < 24 ? "" : " ", row->help);
}

static void print_named(const char *title, option_set_fn *set)
{
	size_t column = 80;

	printf("\n%s:", title);
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];
		if (row->set != set || row->help)
			continue;
		column += strlen(row->word) + 1;
		if (column > 76) {
			printf("\n   ");
			column = 3 + strlen(row->word) + 1;
		}
		printf(" %s", row->word);
	}
	printf("\n");
}

void options_print_help(const char *program)
{
	printf("usage: %s [options] MEMORY.EDN MOUNTPOINT\n"
	       "\n"
	       "Mounts a memory as a filesystem: every entity is a JSON file.\n"
	       "\n"
	       "options, several behind one -o with commas between:\n",
		program);
	for (size_t i = 0; i < option_row_count; i++)
		if (option_rows[i].help)
			print_row(&option_rows[i]);
	print_named("for the kernel, with -o", option_pass_on);
	print_named("taken without effect, for fstab's sake, with -o", option_ignore);
}
