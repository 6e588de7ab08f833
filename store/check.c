/* SPDX-License-Identifier: MIT */
#include "check_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "change.h"
#include "journal_check.h"
#include "mode.h"
#include "utf8.h"

/* ---- telling ---- */

const char *check_printable(struct buf *out, const char *text)
{
	size_t len = strlen(text);
	bool valid = utf8_is_valid(slice_of(text, len));

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && !valid))
			buf_add_format(out, "\\x%02x", c);
		else
			buf_add_char(out, text[i]);
	}
	return buf_cstr(out);
}

void check_problem(struct check *check, const char *file, const char *where, const char *format,
	...)
{
	struct check_line line = {.file = file, .where = ""};
	struct buf shown = BUF_INIT;
	char what[256];
	va_list args;

	check->problems++;
	if (check->in_file++ >= CHECK_LINES_MAX)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	line.what = what;
	if (check_printable(&shown, where))
		line.where = shown.ptr;
	check->say(check->context, &line);
	buf_release(&shown);
}

void check_done(struct check *check, const char *file, const char *format, ...)
{
	struct check_line line = {.file = file, .where = "", .done = true};
	char what[256];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	line.what = what;
	check->say(check->context, &line);
}

void check_end_file(struct check *check, const char *file)
{
	if (check->in_file > CHECK_LINES_MAX)
		check_done(check, file, "and %zu more problems", check->in_file - CHECK_LINES_MAX);
	check->in_file = 0;
}

const char *check_name(struct buf *text, struct slice name)
{
	struct entity_id id;

	buf_reset(text);
	if (!name.len)
		return buf_cstr(text);
	if (name.ptr[0] == 'P') {
		buf_add_format(text, "directory ");
		buf_add(text, name.ptr + 1, name.len - 1);
	} else if (name.ptr[0] == 'X') {
		buf_add_format(text, "a number that moved");
	} else if (entity_id_of_name(name, &id)) {
		buf_add_slice(text, id.key);
		if (id.member.ptr)
			buf_add_char(text, ' ');
		buf_add(text, id.member.ptr, id.member.len);
	}
	return buf_cstr(text);
}

/* ---- the directory ---- */

static int check_place(struct check *check, const char *name, bool directory, struct err *err)
{
	struct stat st;

	if (fstatat(check->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", name, strerror(errno));
	if (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)) {
		check_problem(check, name, "", directory ? "it is no directory" : "it is no file");
		return 0;
	}
	/* tokens and secrets are in the store; its own mode guards all that is below it */
	if (strcmp(name, ".") != 0 || !(st.st_mode & 077))
		return 0;
	check_problem(check, name, "", "others than its owner may use it (mode %04o)",
		(unsigned)st.st_mode & 07777);
	if (!check->repair)
		return 0;
	if (fchmodat(check->dir_fd, name, st.st_mode & 0700, 0))
		return err_set(err, -errno, "%s: %s", name, strerror(errno));
	check_done(check, name, "it has mode %04o now", (unsigned)st.st_mode & 0700);
	return 0;
}

static int check_places(struct check *check, struct err *err)
{
	static const struct {
		const char *name;
		bool directory;
	} PLACES[] = {{".", true}, {"journal", true}, {"saved", true}, {"scratch", true},
		{"rejected", true}, {"conflicts", true}, {"data.mdb", false}, {"lock", false},
		{"saved/data.mdb", false}};
	int ret = 0;

	for (size_t i = 0; i < sizeof(PLACES) / sizeof(*PLACES) && !ret; i++)
		ret = check_place(check, PLACES[i].name, PLACES[i].directory, err);
	check->in_file = 0;
	return ret;
}

/* ---- the journal ---- */

struct journal_lines {
	struct check *check;
	const struct journal_check *journal;
	size_t problems;
};

/* "journal/NAME:OFFSET: cause", or of what was done "journal/NAME: what" */
static void take_journal_line(void *context, const char *line)
{
	struct journal_lines *lines = context;
	size_t before = lines->problems;
	const char *colon = strchr(line, ':');
	const char *what = strstr(line, ": ");
	char file[64];
	char where[32];

	lines->problems = lines->journal->problems;
	if (!colon || !what)
		return;
	snprintf(file, sizeof(file), "%.*s", (int)(colon - line), line);
	snprintf(where, sizeof(where), "%.*s", what > colon ? (int)(what - colon - 1) : 0,
		colon + 1);
	if (lines->problems > before)
		check_problem(lines->check, file, where, "%s", what + 2);
	else
		check_done(lines->check, file, "%s", what + 2);
}

static int check_journal(struct check_run *run, struct err *err)
{
	struct journal_check journal = {
		.repair = run->check->repair && !run->check->saved_alone, .say = take_journal_line};
	struct journal_lines lines = {.check = run->check, .journal = &journal};
	int ret;

	journal.context = &lines;
	journal.watermark = run->saved.has_watermark ? run->saved.watermark : run->eav.watermark;
	journal.unknown_before = !run->saved.has_watermark && run->eav.rows;
	ret = journal_check(run->check->dir_fd, &journal, err);
	run->has_journal = journal.segments;
	run->journal_first = journal.first;
	run->journal_last = journal.last;
	check_end_file(run->check, "journal");
	return ret;
}

/* Of records that are not there yet nobody can hold anything; those that come with these numbers would be lost. */
static void check_watermark(struct check_run *run, struct check_file *file)
{
	uint64_t last = run->journal_last;

	/* when all has come to both stores, there is no journal, and neither is ahead of the other */
	if (!run->has_journal)
		last = run->saved.has_watermark && !run->saved.pages.older ? run->saved.watermark
									   : UINT64_MAX;
	if (!file->has_watermark || file->watermark <= last)
		return;
	run->ahead = true;
	file->problems++;
	check_problem(run->check, file->name, "note watermark",
		"it is %" PRIu64 ", and the last record that there is is %" PRIu64, file->watermark,
		last);
}

/* ---- all of it ---- */

static int check_files(struct check_run *run, struct err *err)
{
	struct check *check = run->check;
	int ret = check_file_open(run, &run->eav, err);

	if (!ret)
		ret = check_eav(run, err);
	run->eav.problems = check->in_file;
	check_end_file(check, run->eav.name);
	if (!ret)
		ret = check_file_open(run, &run->saved, err);
	if (!ret)
		ret = check_saved(run, err);
	check_end_file(check, run->saved.name);
	if (!ret && run->eav.fd < 0 && run->mode == MODE_DATALEVIN_ONLY) {
		check_problem(check, run->eav.name, "", "it is not there, and was used alone");
		run->eav.problems++;
	}
	if (!ret)
		ret = check_journal(run, err);
	if (!ret) {
		check_watermark(run, &run->saved);
		check_watermark(run, &run->eav);
	}
	check->in_file = 0;
	return ret;
}

int check_store(struct check *check, struct err *err)
{
	struct check_run run = {.check = check,
		.saved = {.name = "saved/data.mdb", .fd = -1},
		.eav = {.name = "data.mdb", .fd = -1}};
	int ret;

	check->problems = check->in_file = 0;
	ret = check_places(check, err);
	if (!ret)
		ret = check_files(&run, err);
	if (!ret && check->repair)
		ret = check_mend(&run, err);
	table_release(&run.documents, NULL);
	check_file_close(&run.saved);
	check_file_close(&run.eav);
	return ret;
}
