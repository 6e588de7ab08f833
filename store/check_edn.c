/* SPDX-License-Identifier: MIT */
#include "check_edn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_private.h"
#include "edn.h"

struct look {
	const char *path;
	struct slice text;
	check_say_fn *say;
	void *context;
	size_t problems;
	/* the place that was named last: from there on counting goes on */
	size_t offset;
	unsigned line, column;
	size_t in_entry; /* problems of the entry at hand */
	size_t entry;    /* where it begins */
	struct arena arena;
};

__attribute__((format(printf, 4, 5))) static void tell(struct look *look, unsigned line,
	unsigned column, const char *format, ...)
{
	char where[32] = "";
	char what[512];
	struct buf shown = BUF_INIT;
	struct check_line found = {.file = look->path, .where = where, .what = what};
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (line)
		snprintf(where, sizeof(where), "%u:%u", line, column);
	look->problems++;
	look->in_entry++;
	if (check_printable(&shown, what))
		found.what = shown.ptr;
	look->say(look->context, &found);
	buf_release(&shown);
}

/* Both count from 1, the column in characters. */
static void find_place(struct look *look, size_t offset)
{
	if (offset < look->offset || !look->line) {
		look->offset = 0;
		look->line = look->column = 1;
	}
	for (; look->offset < offset; look->offset++) {
		unsigned char c = (unsigned char)look->text.ptr[look->offset];

		if (c == '\n') {
			look->line++;
			look->column = 1;
		} else if ((c & 0xc0) != 0x80) {
			look->column++;
		}
	}
}

static void tell_at(struct look *look, size_t offset, const char *what, const char *advice)
{
	find_place(look, offset);
	tell(look, look->line, look->column, "%s: %s", what, advice);
}

/* ---- tokens that clojure.edn can't read ---- */

/* A token that was put together stands nowhere: then it is the entry's place. */
static size_t place_of(const struct look *look, const char *at)
{
	return at >= look->text.ptr && at < look->text.ptr + look->text.len
		       ? (size_t)(at - look->text.ptr)
		       : look->entry;
}

static void look_at_token(struct look *look, const struct edn *v)
{
	bool keyword = v->type == EDN_KEYWORD;
	struct err err = {0};
	size_t at;

	if (edn_check_readable(v, 0, &err) == 0)
		return;
	at = place_of(look, err.at);
	if (keyword && at > look->entry)
		at--; /* the colon */
	tell_at(look, at, err.text,
		v->type == EDN_CHAR ? "write it as a string"
				    : "a string can hold this text, or give it another name: what "
				      "is behind a slash must not begin with a digit");
}

static void look_at_tag(struct look *look, const struct edn *v)
{
	struct edn items[2] = {v->items[0], {.type = EDN_NIL}};
	struct edn alone = {.type = EDN_TAGGED, .count = 2, .items = items};
	struct err err = {0};

	if (edn_check_readable(&alone, 1, &err))
		tell_at(look, place_of(look, err.at), err.text,
			"take the tag away, the value behind it can stay");
}

/* No deeper than EDN_LOAD_DEPTH, to which it was read. */
static void look_at(struct look *look, const struct edn *v)
{
	size_t count = edn_item_count(v);

	if (v->type < EDN_LIST)
		look_at_token(look, v);
	if (v->type == EDN_TAGGED)
		look_at_tag(look, v);
	for (size_t i = v->type == EDN_TAGGED; i < count; i++)
		look_at(look, &v->items[i]);
}

static int look_at_text(struct look *look, struct edn_span span)
{
	struct edn value;
	int ret = edn_read(&look->arena, slice_of(look->text.ptr + span.offset, span.len),
		EDN_LOAD_DEPTH, &value, NULL, NULL);

	if (!ret)
		look_at(look, &value);
	arena_reset(&look->arena);
	return ret == -ENOMEM ? ret : 0;
}

/* ---- entries ---- */

static int take_entry(void *context, const struct edn_map_entry *entry)
{
	struct look *look = context;
	char what[64];
	int ret = 0;

	look->entry = entry->key.offset;
	look->in_entry = 0;
	if (entry->value_depth > EDN_SAVE_DEPTH) {
		snprintf(what, sizeof(what), "its value is nested %u levels deep",
			entry->value_depth);
		tell_at(look, look->entry, what,
			"Ouroboros's printer dies of that near 650, make it flatter");
	}
	if (!entry->lenient && !entry->tagged)
		return 0;
	look->in_entry = 0;
	ret = look_at_text(look, entry->key);
	if (!ret)
		ret = look_at_text(look, entry->value);
	if (!ret && !look->in_entry)
		tell_at(look, look->entry, "clojure.edn can't read this key or its value",
			"with the namespace of the map's prefix it is no keyword: write its keys "
			"in "
			"full, without the prefix");
	return ret;
}

/* ---- what is behind the form ---- */

static size_t skip_blank(struct slice text, size_t at)
{
	while (at < text.len) {
		if (text.ptr[at] == ';')
			while (at < text.len && text.ptr[at] != '\n' && text.ptr[at] != '\r')
				at++;
		else if (memchr(" \t\n\v\f\r,", text.ptr[at], 7))
			at++;
		else
			break;
	}
	return at;
}

static void look_behind(struct look *look, size_t end)
{
	size_t at = skip_blank(look->text, end);
	char what[96];

	if (at == look->text.len)
		return;
	snprintf(what, sizeof(what), "%zu bytes are behind the first form, and nobody reads them",
		look->text.len - at);
	tell_at(look, at, what, "remove them, or move them into the map");
}

/* ---- the file ---- */

static int read_all(int fd, struct buf *text)
{
	for (;;) {
		char *to = buf_reserve(text, 65536);
		ssize_t n = to ? read(fd, to, 65536) : -1;

		if (!to)
			return -ENOMEM;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n > 0)
			text->len += (size_t)n;
	}
}

static int look_through(struct look *look, struct err *err)
{
	struct edn_map_shape shape;
	struct err reason = {0};
	int ret = edn_scan_map(look->text, 0, EDN_LOAD_DEPTH, take_entry, look, &shape, &reason);

	if (ret == -EBADMSG) {
		tell(look, reason.line, reason.column,
			"%s: Ouroboros would start empty, and what is behind this was not looked "
			"at",
			reason.text);
		return 0;
	}
	if (ret)
		return err_set(err, ret, "%s: %s", look->path, strerror(-ret));
	look_behind(look, shape.end);
	return 0;
}

int check_edn_file(const char *path, check_say_fn *say, void *context, size_t *problems,
	struct err *err)
{
	struct look look = {.path = path, .say = say, .context = context};
	struct buf text = BUF_INIT;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : read_all(fd, &text);

	if (ret)
		err_set(err, ret, "%s: %s", path, strerror(-ret));
	look.text = buf_slice(&text);
	if (!ret)
		ret = look_through(&look, err);
	*problems = look.problems;
	if (fd >= 0)
		close(fd);
	arena_release(&look.arena);
	buf_release(&text);
	return ret;
}
