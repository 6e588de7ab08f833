/* SPDX-License-Identifier: MIT */
#include "ednfile_map.h"

#include <errno.h>

/*
 * Gaps: what stands between the entries of a map. Comments and discards are a person's and stay;
 * the blanks around them, commas included, are moved with the entries.
 */
enum token { TOKEN_END, TOKEN_BLANK, TOKEN_COMMENT, TOKEN_DISCARD, TOKEN_META };

static bool is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static bool has_newline(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (is_newline(s.ptr[i]))
			return true;
	return false;
}

/* The end of the form that begins at `at`; gaps have been read before, so there is one. */
static size_t form_end(const struct ednpool *pool, struct slice gap, size_t at)
{
	size_t end;

	if (at >= gap.len ||
		edn_skip(slice_of(gap.ptr + at, gap.len - at), pool->max_depth, &end, NULL))
		return gap.len;
	return at + end;
}

/* The token at *at, which moves behind it. A comment ends before its newline. */
static enum token next_token(const struct ednpool *pool, struct slice gap, size_t *at)
{
	const char *p = gap.len ? gap.ptr + *at : NULL;
	size_t left = gap.len - *at;
	size_t n = 0;

	if (!left)
		return TOKEN_END;
	if (*p == ';') {
		while (n < left && !is_newline(p[n]))
			n++;
		*at += n;
		return TOKEN_COMMENT;
	}
	if (*p == '^' || (*p == '#' && left > 1 && p[1] == '^')) {
		*at = form_end(pool, gap, *at + (*p == '^' ? 1 : 2));
		return TOKEN_META;
	}
	if (*p == '#') {
		*at = form_end(pool, gap, *at + 2);
		return TOKEN_DISCARD;
	}
	while (n < left && p[n] != ';' && p[n] != '#' && p[n] != '^')
		n++;
	*at += n;
	return TOKEN_BLANK;
}

/* A gap cut in three: blanks, from the first thing to the last, blanks. */
struct cut {
	struct slice lead; /* all of the gap where nothing but blanks is in it */
	struct slice content;
	struct slice trail;
	enum token first;
	enum token last;
};

static void cut_gap(const struct ednpool *pool, struct slice gap, struct cut *cut)
{
	size_t begin = gap.len;
	size_t end = gap.len;
	size_t at = 0;
	size_t from = 0;
	enum token token;

	*cut = (struct cut){.first = TOKEN_END};
	while ((token = next_token(pool, gap, &at)) != TOKEN_END) {
		if (token != TOKEN_BLANK) {
			if (cut->first == TOKEN_END) {
				cut->first = token;
				begin = from;
			}
			cut->last = token;
			end = at;
		}
		from = at;
	}
	if (gap.len == 0)
		gap.ptr = ""; /* so that it can be counted from */
	cut->lead = slice_of(gap.ptr, begin);
	cut->content = slice_of(gap.ptr + begin, end - begin);
	cut->trail = slice_of(gap.ptr + end, gap.len - end);
}

int edngap_strip_meta(const struct ednpool *pool, struct slice gap, struct buf *out)
{
	size_t from = 0;
	size_t at = 0;
	bool behind = false;
	enum token token;

	for (; (token = next_token(pool, gap, &at)) != TOKEN_END; from = at) {
		if (token != TOKEN_META && !(behind && token == TOKEN_BLANK))
			buf_add(out, gap.ptr + from, at - from);
		behind = token == TOKEN_META;
	}
	return buf_error(out);
}

/* ---- an entry goes ---- */

/* The comment behind an entry that had its line for itself is about that entry. */
static struct slice without_own_comment(const struct ednpool *pool, struct slice after)
{
	size_t at = 0;
	enum token token = next_token(pool, after, &at);

	if (token == TOKEN_BLANK) {
		if (has_newline(slice_of(after.ptr, at)))
			return after;
		token = next_token(pool, after, &at);
	}
	return token == TOKEN_COMMENT ? slice_of(after.ptr + at, after.len - at) : after;
}

static struct slice choose_blanks(const struct edngap_around *around, const struct cut *before,
	const struct cut *after)
{
	struct slice here = before->content.len ? before->trail : before->lead;
	struct slice there = after->lead;

	if (before->last == TOKEN_COMMENT && !(there.len && is_newline(there.ptr[0])))
		return here;
	if (around->last)
		return there;
	if (around->first)
		return here;
	if (after->content.len && (has_newline(there) || after->first == TOKEN_COMMENT))
		return there; /* what the next entry's comment stood off by */
	if (has_newline(there) && !has_newline(here))
		return there;
	return here; /* the next entry moves to where this one stood */
}

int edngap_merge(const struct ednpool *pool, const struct edngap_around *around, struct buf *out)
{
	struct buf stripped = BUF_INIT;
	struct slice after = around->after;
	struct cut left;
	struct cut right;
	struct slice blanks;
	bool own_line;
	int ret = edngap_strip_meta(pool, around->before, &stripped);

	if (ret)
		goto out;
	cut_gap(pool, buf_slice(&stripped), &left);
	own_line = has_newline(left.content.len ? left.trail : left.lead);
	if (own_line || (around->first && !left.content.len))
		after = without_own_comment(pool, after);
	cut_gap(pool, after, &right);
	blanks = choose_blanks(around, &left, &right);
	if (left.content.len) {
		buf_add_slice(out, left.lead);
		buf_add_slice(out, left.content);
	}
	buf_add_slice(out, blanks);
	if (!blanks.len && left.content.len && right.content.len)
		buf_add_char(out, ' ');
	buf_add_slice(out, right.content);
	buf_add_slice(out, right.trail);
	ret = buf_error(out);
out:
	buf_release(&stripped);
	return ret;
}

/* ---- an entry comes ---- */

static void add_newline(struct buf *out, struct slice like)
{
	for (size_t i = 0; i < like.len; i++) {
		if (like.ptr[i] == '\n' || (like.ptr[i] == '\r' && i + 1 == like.len)) {
			buf_add_str(out, "\n");
			return;
		}
		if (like.ptr[i] == '\r') {
			buf_add_str(out, like.ptr[i + 1] == '\n' ? "\r\n" : "\r");
			return;
		}
	}
	buf_add_str(out, "\n");
}

/* A line's end and the indentation that the gap ends in. */
static void add_line_break(struct buf *out, struct slice gap)
{
	size_t at = gap.len;

	add_newline(out, gap);
	while (at && (gap.ptr[at - 1] == ' ' || gap.ptr[at - 1] == '\t'))
		at--;
	if (at && is_newline(gap.ptr[at - 1]))
		buf_add(out, gap.ptr + at, gap.len - at);
	else
		buf_add_char(out, ' ');
}

static void add_separator(const struct ednmap *map, struct buf *out)
{
	const struct ednentry *last = &map->entries[map->entries[0].prev];
	struct slice gap = ednentry_gap(last);
	struct slice tail = ednentry_gap(&map->entries[0]);
	struct cut cut;

	if (last->prev) { /* two or more: the last two are the example */
		cut_gap(map->pool, gap, &cut);
		if (!cut.content.len && gap.len) {
			buf_add_slice(out, gap);
			return;
		}
		if (has_newline(gap)) {
			if (gap.ptr[0] == ',')
				buf_add_char(out, ',');
			add_line_break(out, gap);
			return;
		}
	} else if (has_newline(gap)) {
		add_line_break(out, gap);
		return;
	} else if (has_newline(tail)) {
		add_newline(out, tail);
		buf_add_char(out, ' ');
		return;
	}
	buf_add_str(out, ", ");
}

/* A separator that has to end a comment's line first. */
static void add_after_comment(struct buf *out, struct slice separator, struct slice trail)
{
	size_t at = 0;

	while (at < separator.len && !is_newline(separator.ptr[at]))
		at++;
	if (at < separator.len) {
		buf_add(out, separator.ptr + at, separator.len - at);
	} else {
		add_newline(out, trail);
		buf_add_char(out, ' ');
	}
}

static void append_to_empty(const struct cut *cut, struct buf *gap, struct buf *last)
{
	struct slice blanks = cut->content.len ? cut->trail : cut->lead;

	if (cut->content.len) {
		buf_add_slice(gap, cut->lead);
		buf_add_slice(gap, cut->content);
	}
	if (has_newline(blanks)) {
		add_newline(gap, blanks);
		buf_add_char(gap, ' ');
		add_newline(last, blanks);
	} else if (cut->content.len) {
		buf_add_char(gap, ' ');
		buf_add_slice(last, blanks);
	}
}

int edngap_append(const struct ednmap *map, struct buf *gap, struct buf *last)
{
	struct buf separator = BUF_INIT;
	struct cut cut;

	cut_gap(map->pool, ednentry_gap(&map->entries[0]), &cut);
	if (!map->count) {
		append_to_empty(&cut, gap, last);
		goto out;
	}
	add_separator(map, &separator);
	if (cut.content.len) {
		buf_add_slice(gap, cut.lead);
		buf_add_slice(gap, cut.content);
		buf_add_slice(last, cut.trail);
	} else {
		buf_add_slice(last, cut.lead);
	}
	if (cut.last == TOKEN_COMMENT)
		add_after_comment(gap, buf_slice(&separator), cut.trail);
	else
		buf_add_slice(gap, buf_slice(&separator));
	if (buf_error(&separator))
		gap->failed = true;
out:
	buf_release(&separator);
	return buf_error(gap) ? buf_error(gap) : buf_error(last);
}
