/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_PATH_H
#define OUROFS_PATH_H

#include "schema.h"

/*
 * Key <-> path. Paths are relative to the mount's root, without a slash in front: "config.json",
 * "presence/:session-123/:user-456.json". A key's text is its canonical EDN (edn_print_canonical):
 * ":presence/:session-123", "\"alice\"", "[1 2]".
 *
 *	path_of_key(key) is total; key_of_path(path_of_key(k)) == k; two keys never share a path.
 *
 * The one exception to the reverse: a name that would pass 255 bytes is cut and closed with "%~"
 * and a hash (PATH_CUT); such a path is found by comparing it with those of existing keys.
 */
enum path_kind {
	PATH_NONE,      /* a name that is no key's own name: lookup ENOENT, creation EINVAL */
	PATH_DOCUMENT,  /* the file of a top-level key: key */
	PATH_MEMBER,    /* the file of a collection's member: key, member */
	PATH_DIRECTORY, /* may be a namespace; key: the collection it is when collection is set */
	PATH_SCRATCH,   /* a scratch name: not *.json, a dotfile, or below a dot directory */
	PATH_CUT,       /* some name in it has "%~": only existing keys have it; key is empty */
};

struct path_place {
	enum path_kind kind;
	bool collection; /* PATH_DIRECTORY, PATH_DOCUMENT: key matches a collection pattern, so a map
			     * under it is a directory and anything else a file */
	bool lenient; /* key or member holds what clojure.edn can't read (":a/1", an unknown tag): it
			     * may exist, but must not be created. Of directories, only collections can
			     * be lenient */
	struct buf key; /* canonical EDN of the top-level key (directories: the keyword, also where
			     * no key of that name can be a collection; empty for the root) */
	struct buf member; /* canonical EDN of the member's key */
};

#define PATH_PLACE_INIT ((struct path_place){0})
void path_place_release(struct path_place *place);

enum { PATH_NAME_MAX = 255 };

/*
 * What stands at path, told by its text alone. A name that does not end in .json is
 * PATH_DIRECTORY where a directory's segment could be spelled so, and it is for the caller to see
 * whether a key is below it, else it is scratch. Paths with a name that is empty, ".", "..", longer
 * than 255 bytes or holds a NUL are PATH_NONE wherever they lead, below ".git" too.
 *
 * place is PATH_PLACE_INIT or one that was parsed into before (its memory is used again). reason
 * (may be NULL) says why for PATH_NONE, and with -ENOMEM. 0 or -ENOMEM.
 */
int path_parse(const struct schema *schema, struct slice path, struct path_place *place,
	struct err *reason);

/*
 * Appends the path of a top-level key: the file's, or with directory set the directory's of a key
 * that is a collection (a collection pattern matches and its value is a map). directory is without
 * effect where no collection pattern matches. 0 or -ENOMEM.
 */
int path_of_key(const struct schema *schema, const struct edn *key, bool directory,
	struct buf *path);

/* Appends the file name of a collection's member ("alice.json"). plain: the row's member. */
int path_of_member(enum schema_member plain, const struct edn *member, struct buf *name);

/*
 * The same from a key's canonical EDN, which is trusted to be that; keywords and most strings are told
 * without the reader. -EINVAL: the reader found it not to be one EDN form.
 */
int path_of_key_text(const struct schema *schema, struct slice key, bool directory,
	struct buf *path);
int path_of_member_text(enum schema_member plain, struct slice member, struct buf *name);

/* Is name scratch by its spelling: a dotfile, or not ending in ".json"? (Directories may be, too.) */
bool path_is_scratch_name(struct slice name);

#endif
