/* SPDX-License-Identifier: MIT */
#include "edn_scan.h"

#include <errno.h>
#include <stdlib.h>

struct edn_tail {
	struct edn_scanner scanner; /* stands at the closing brace */
};

/* ---- where ---- */

enum {
	SEARCH_BYTES = 1 << 20, /* for the end of a map, with another key behind it */
	LOOK_BYTES = 1 << 20,   /* from there on, for a bracket that closes more than was opened */
};

static const char *past_string(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '"')
			return at + 1;
		if (*at == '\\' && at + 1 < end)
			at++;
	}
	return end;
}

static const char *past_comment(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', (size_t)(end - at));

	return newline ? newline : end;
}

/* Behind a map that is followed by a string, keyword or comment, or NULL. */
static const char *past_some_map(const char *at, const char *end)
{
	while ((at = memchr(at, '}', (size_t)(end - at)))) {
		const char *next = ++at;

		while (next < end && (edn_class_of(next) & EDN_C_SPACE))
			next++;
		if (next > at && next < end && (*next == ':' || *next == '"' || *next == ';'))
			return at;
	}
	return NULL;
}

/* Behind the last bracket that closes what was not opened from `at` on, or `at`. */
static const char *past_unopened(const char *at, const char *end)
{
	const char *found = at;
	size_t open = 0;

	while (at < end) {
		char c = *at;

		if (c == '"') {
			at = past_string(at, end);
		} else if (c == ';') {
			at = past_comment(at, end);
		} else {
			at += 1 + (c == '\\' && at + 1 < end);
			if (c == '(' || c == '[' || c == '{')
				open++;
			else if (c != ')' && c != ']' && c != '}')
				continue;
			else if (open)
				open--;
			else
				found = at;
		}
	}
	return found;
}

bool edn_join_guess(struct edn_join *join, struct slice text)
{
	const char *end = text.ptr + text.len;
	const char *at = NULL;

	if (text.len)
		at = past_some_map(text.ptr + text.len / 2,
			text.len / 2 < SEARCH_BYTES ? end : text.ptr + text.len / 2 + SEARCH_BYTES);
	if (!at)
		return false;
	at = past_unopened(at, end - at < LOOK_BYTES ? end : at + LOOK_BYTES);
	join->from = (size_t)(at - text.ptr);
	join->seed = edn_hash_seed(text.ptr);
	return true;
}

/* ---- the second part ---- */

struct edn_tail *edn_tail_scan(struct slice text, const struct edn_join *join, unsigned base_depth,
	unsigned max_depth, edn_entry_fn *fn, void *context)
{
	struct edn_tail *tail = text.len > UINT32_MAX ? NULL : calloc(1, sizeof(*tail));
	struct edn_scanner *s;

	if (!tail)
		return NULL;
	s = &tail->scanner;
	s->at = text.ptr + join->from;
	s->fn = fn;
	s->context = context;
	s->is_tail = true;
	edn_reader_init(&s->reader, text, max_depth, NULL);
	s->reader.seed = join->seed;
	s->reader.depth = base_depth;
	if (edn_scan_tail(s) == EDN_SCAN_TAIL_ENDS)
		return tail;
	edn_tail_free(tail);
	return NULL;
}

void edn_tail_free(struct edn_tail *tail)
{
	if (tail)
		edn_scan_release(&tail->scanner);
	free(tail);
}

/* ---- both ---- */

int edn_scan_join(struct edn_scanner *s)
{
	struct edn_join *join = s->join;
	const struct edn_tail *tail;
	int ret = 0;

	if (edn_scan_offset(s, s->at) < join->from)
		return 0;
	s->join = NULL;
	/* keys behind a prefix are others than the tail took them for */
	if (edn_scan_offset(s, s->at) > join->from || s->frames[0].prefix.len)
		return 0;
	tail = join->wait(join->context);
	/* metadata before the map counts as a level */
	if (!tail || tail->scanner.reader.depth != s->reader.depth)
		return 0;
	for (size_t i = 0; i < tail->scanner.reader.count && !ret; i++)
		ret = edn_reader_push(&s->reader, &tail->scanner.reader.keys[i]);
	s->at = tail->scanner.at;
	s->entries += tail->scanner.entries;
	s->lenient |= tail->scanner.lenient;
	join->joined = true;
	return ret;
}
