/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_PATH_NAME_H
#define OUROFS_PATH_NAME_H

#include "path.h"

/*
 * One name of a path, in two layers, for path.c and path_parse.c alone.
 *
 * Spelling: any text <-> a name of 1 to 255 bytes. "%XX" (upper case) stands for '/', '%', control
 * bytes and a '.' in front, and for the '.' of a directory's last ".json"; files end in ".json".
 * A name that would pass 255 bytes is cut, on a boundary of characters and escapes, and closed with
 * "%~" and sixteen hex digits, hash64 (seed 0) of the name as it was before, without ".json". No
 * name that was not cut holds "%~", as '%' itself is always escaped.
 *
 * Marks: a key <-> text, where keys of any type can stand. Plain text is what the place says, ":kw" a
 * keyword, "'text" a string, "#edn" any other key, as canonical EDN. It is the rule of object keys
 * (json_key_print), except that empty text takes its mark, that a string with a lone surrogate is
 * EDN (names are UTF-8), and that in a place for strings every text without a mark is a string.
 */
enum path_plain { PATH_PLAIN_STRING, PATH_PLAIN_KEYWORD };

extern const struct slice PATH_SUFFIX; /* ".json" */

static inline bool path_is_document_name(struct slice name)
{
	return slice_ends(name, PATH_SUFFIX);
}

/* Appends the name that spells text; no byte of text is refused. */
void path_name_add_file(struct buf *path, struct slice text);
void path_name_add_directory(struct buf *path, struct slice segment);
/* The same, for the text that stands in path from start on. */
void path_name_finish_file(struct buf *path, size_t start);

/*
 * Reads a name (a file's without ".json") strictly: 0 with the text in to, which has room for
 * PATH_NAME_MAX bytes, or -EINVAL where no text is spelled so.
 */
int path_name_read_file(struct slice stem, char *to, size_t *len, struct err *reason);
int path_name_read_directory(struct slice name, char *to, size_t *len, struct err *reason);

/* Does the name (a file's with its suffix) look as one that was cut? Checked to the last digit. */
bool path_name_is_cut(struct slice name);

/* Appends a key's text, with its mark where it takes one. */
void path_mark_add(struct buf *text, enum path_plain plain, const struct edn *key);
/*
 * The key that a text means; -EINVAL (with the reason) or -ENOMEM. It does not ask whether the key
 * would be written so. The value points into text and arena.
 */
int path_mark_read(struct arena *arena, enum path_plain plain, struct slice text, struct edn *key,
	struct err *reason);

#endif
