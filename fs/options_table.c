/* SPDX-License-Identifier: MIT */
#include "options_table.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mode.h"

enum { DELAY_MAX_MS = 3600 * 1000, THREADS_MAX = 1000 };

/* ---- the setters: each takes one kind of value to its field ---- */

static void *field(struct options *options, const struct option_row *row)
{
	return (char *)options + row->offset;
}

static int set_true(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	(void)value;
	(void)err;
	*(bool *)field(options, row) = true;
	return 0;
}

static int set_text(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	char **text = field(options, row);
	char *copy = strdup(value);

	if (!copy)
		return err_set(err, -ENOMEM, "out of memory");
	free(*text);
	*text = copy;
	return 0;
}

static int bad_value(const struct option_row *row, const char *value, const char *wanted,
	struct err *err)
{
	return err_set(err, -EINVAL, "option '%s%s': %s", row->word, value, wanted);
}

/* Digits of the base and nothing else; *end is what follows them. */
static bool read_digits(const char *text, unsigned base, uint64_t *number, const char **end)
{
	uint64_t sum = 0;
	const char *p = text;

	for (; *p >= '0' && *p < (char)('0' + base); p++) {
		unsigned digit = (unsigned)(*p - '0');
		if (sum > (UINT64_MAX - digit) / base)
			return false;
		sum = sum * base + digit;
	}
	*number = sum;
	*end = p;
	return p != text;
}

static bool read_number(const char *text, unsigned base, uint64_t max, uint64_t *number)
{
	const char *end;

	return read_digits(text, base, number, &end) && *end == '\0' && *number <= max;
}

static int set_id(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	uint64_t id;

	_Static_assert(sizeof(uid_t) == 4 && sizeof(gid_t) == 4,
		"both fields are written as uint32_t");
	if (!read_number(value, 10, UINT32_MAX - 1, &id)) /* -1 is no user */
		return bad_value(row, value, "a numeric id is expected", err);
	*(uint32_t *)field(options, row) = (uint32_t)id;
	return 0;
}

static int set_umask(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	uint64_t bits;

	if (!read_number(value, 8, 0777, &bits))
		return bad_value(row, value, "octal permission bits are expected (077)", err);
	options->umask = (mode_t)bits;
	return 0;
}

static int set_number(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	uint64_t number;

	if (!read_number(value, 10, row->max, &number))
		return err_set(err, -EINVAL, "option '%s%s': a number up to %llu is expected",
			row->word, value, (unsigned long long)row->max);
	*(unsigned *)field(options, row) = (unsigned)number;
	return 0;
}

static int set_count(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	if (value[strspn(value, "0")] == '\0')
		return bad_value(row, value, "at least 1 is expected", err);
	return set_number(options, row, value, err);
}

static int set_size(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	static const char units[] = "KMG";
	const char *end;
	const char *unit;
	uint64_t number;
	unsigned shift = 0;

	if (!read_digits(value, 10, &number, &end))
		return bad_value(row, value, "a size is expected (bytes, or 64K, 64M, 1G)", err);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (*end)
		return bad_value(row, value, "a size is expected (bytes, or 64K, 64M, 1G)", err);
	if (number == 0 || number > (uint64_t)SSIZE_MAX >> shift)
		return bad_value(row, value, "the size is out of range", err);
	*(size_t *)field(options, row) = (size_t)number << shift;
	return 0;
}

static int set_mode(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	enum mode mode;

	if (mode_of_word(slice_str(value), &mode, &(bool){false}))
		return err_set(err, -EINVAL,
			"unknown mode '%s': 'edn-only', 'dual-write', 'datalevin-first' or "
			"'datalevin-only' is expected",
			value);
	return set_text(options, row, value, err);
}

static int set_log_level(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	if (log_level_of_word(value, &options->log_level))
		return bad_value(row, value, "'error', 'warning', 'info' or 'debug' is expected",
			err);
	return 0;
}

static int set_control(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	options->control_listed = strcmp(value, "listed") == 0;
	if (!options->control_listed && strcmp(value, "hidden") != 0)
		return bad_value(row, value, "'listed' or 'hidden' is expected", err);
	return 0;
}

/* In fuse_options a comma separates and a backslash escapes, as in -o itself. */
int option_pass_on(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	struct buf all = BUF_INIT;

	if (options->fuse_options) {
		buf_add_str(&all, options->fuse_options);
		buf_add_char(&all, ',');
	}
	buf_add_str(&all, row->word);
	for (const char *p = value; p && *p; p++) {
		if (*p == ',' || *p == '\\')
			buf_add_char(&all, '\\');
		buf_add_char(&all, *p);
	}
	buf_add_char(&all, '\0');
	if (buf_error(&all)) {
		buf_release(&all);
		return err_set(err, -ENOMEM, "out of memory");
	}
	free(options->fuse_options);
	options->fuse_options = all.ptr;
	return 0;
}

static int set_access(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	(void)value;
	(void)err;
	options->read_only = strcmp(row->word, "ro") == 0;
	return 0;
}

/* mount(8) hands it on for `mount -o remount`, which a filesystem of its own process can't follow. */
static int refuse_remount(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	(void)options;
	(void)value;
	return err_set(err, -EINVAL,
		"option '%s': unmount and mount again (or `mount -i -o remount,ro`)", row->word);
}

int option_ignore(struct options *options, const struct option_row *row, const char *value,
	struct err *err)
{
	(void)options;
	(void)row;
	(void)value;
	(void)err;
	return 0;
}

/* ---- the table ---- */

#define FIELD(name) .offset = offsetof(struct options, name)

const struct option_row option_rows[] = {
	{'h', "help", NULL, "print this help", set_true, FIELD(show_help), .dashed = true},
	{'V', "version", NULL, "print the version", set_true, FIELD(show_version), .dashed = true},
	{'f', NULL, NULL, "stay in the foreground, log to standard error", set_true,
		FIELD(foreground)},
	{'d', "debug", NULL, "as -f, and print every request", set_true, FIELD(debug)},
	{'s', NULL, NULL, "serve with a single thread", set_true, FIELD(single_threaded)},
	{0, "ro", NULL, "read only", .set = set_access},
	{0, "rw", NULL, "read and write (default)", .set = set_access},
	{0, "allow_other", NULL, "let other users in, as permissions allow", set_true,
		FIELD(allow_other)},
	{0, "allow_root", NULL, "let root in", .set = option_pass_on},
	{0, "auto_unmount", NULL, "unmount when ourofs dies", .set = option_pass_on},
	{0, "nonempty", NULL, "mount over a directory that is not empty", set_true,
		FIELD(nonempty)},
	{0, "uid=", "N", "owner shown (default: who mounts)", set_id, FIELD(uid)},
	{0, "gid=", "N", "group shown (default: who mounts)", set_id, FIELD(gid)},
	{0, "umask=", "M", "permission bits to take off, octal (default: 0)", .set = set_umask},
	{0, "mode=", "MODE", "which stores serve (datalevin-first)", set_mode, FIELD(mode)},
	{0, "force", NULL, "with mode=: migrate first, or without the EAV store", set_true,
		FIELD(force)},
	{0, "store=", "DIR", "state of ourofs (default: memory.eav by memory.edn)", set_text,
		FIELD(store_dir)},
	{0, "mapping=", "FILE", "more patterns of keys, in EDN (see ourofs(5))", set_text,
		FIELD(mapping_path)},
	{0, "control=", "HOW", "control files: hidden (default) or listed", .set = set_control},
	{0, "loglevel=", "LEVEL", "error, warning (with -f), info (else) or debug",
		.set = set_log_level},
	{0, "edn_delay=", "MS", "wait so long before memory.edn is rewritten (100)", set_number,
		FIELD(edn_delay_ms), DELAY_MAX_MS},
	{0, "doc_max=", "SIZE", "largest document (32M)", set_size, FIELD(doc_max_bytes)},
	{0, "scratch_max=", "SIZE", "all scratch files together (256M)", set_size,
		FIELD(scratch_max_bytes)},
	{0, "max_threads=", "N", "threads that serve requests (10)", set_count, FIELD(max_threads),
		THREADS_MAX},
	{0, "max_idle_threads=", "N", "threads kept while idle (10)", set_count,
		FIELD(max_idle_threads), THREADS_MAX},
	{0, "clone_fd", NULL, "a device descriptor for each thread", set_true, FIELD(clone_fd)},
	{0, "suid", .set = option_pass_on},
	{0, "nosuid", .set = option_pass_on},
	{0, "dev", .set = option_pass_on},
	{0, "nodev", .set = option_pass_on},
	{0, "exec", .set = option_pass_on},
	{0, "noexec", .set = option_pass_on},
	{0, "atime", .set = option_pass_on},
	{0, "noatime", .set = option_pass_on},
	{0, "async", .set = option_pass_on},
	{0, "sync", .set = option_pass_on},
	{0, "dirsync", .set = option_pass_on},
	{0, "fsname=", .set = option_pass_on},
	{0, "context=", .set = option_pass_on},
	{0, "fscontext=", .set = option_pass_on},
	{0, "defcontext=", .set = option_pass_on},
	{0, "rootcontext=", .set = option_pass_on},
	{0, "remount", .set = refuse_remount},
	{0, "defaults", .set = option_ignore},
	{0, "auto", .set = option_ignore},
	{0, "noauto", .set = option_ignore},
	{0, "user", .set = option_ignore},
	{0, "user=", .set = option_ignore},
	{0, "nouser", .set = option_ignore},
	{0, "users", .set = option_ignore},
	{0, "owner", .set = option_ignore},
	{0, "group", .set = option_ignore},
	{0, "nofail", .set = option_ignore},
	{0, "_netdev", .set = option_ignore},
	{0, "diratime", .set = option_ignore},
	{0, "nodiratime", .set = option_ignore},
	{0, "relatime", .set = option_ignore},
	{0, "norelatime", .set = option_ignore},
	{0, "strictatime", .set = option_ignore},
	{0, "nostrictatime", .set = option_ignore},
	{0, "lazytime", .set = option_ignore},
	{0, "nolazytime", .set = option_ignore},
	{0, "iversion", .set = option_ignore},
	{0, "noiversion", .set = option_ignore},
	{0, "mand", .set = option_ignore},
	{0, "nomand", .set = option_ignore},
	{0, "silent", .set = option_ignore},
	{0, "loud", .set = option_ignore},
	{0, "symfollow", .set = option_ignore}, /* there are no links */
	{0, "nosymfollow", .set = option_ignore},
	{0, "default_permissions", .set = option_ignore}, /* always in force */
	{0, "comment=", .set = option_ignore},
	{0, "x-*", .set = option_ignore},
};

const size_t option_row_count = sizeof(option_rows) / sizeof(*option_rows);
