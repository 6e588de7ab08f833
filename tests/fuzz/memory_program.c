/* SPDX-License-Identifier: MIT */
#include "memory_program.h"

#include <errno.h>
#include <stdio.h>

enum { PATH_BYTES_MAX = 280 };

/* ---- the program ---- */

uint8_t program_next(struct fuzz *f)
{
	if (!f->size)
		return 0;
	f->size--;
	return *f->data++;
}

static void take(struct fuzz *f, struct buf *to, size_t most)
{
	size_t len = program_next(f);

	if (len == 255)
		len += program_next(f);
	len = len < most ? len : most;
	len = len < f->size ? len : f->size;
	buf_reset(to);
	buf_add(to, f->data, len);
	f->data += len;
	f->size -= len;
}

static const char *const paths[] = {"config.json", "notes/x.json", "presence/s1/alice.json",
	"notes/deep/y.json", "presence/s1/bob.json", "presence/:s2/:ada.json",
	"presence/s1/sub/carol.json", "projects/ada/ada%2Fspring.json", "ops/:s2.json",
	"comments/:s2/comment-1.json", "learning/index/ada.json",
	"learning/tag-index/two words.json", "'text.json", "#42.json", "ada/slug-1770-ab.json",
	"%2Emode.json", "deleted/x.json", "presence/s3.json", "notes/%.json",
	"a/b/c/d/e/f/g/h.json", "embed-token/0ab.json"};
enum { PATHS = sizeof(paths) / sizeof(paths[0]), SURE_PATHS = 17 };

bool program_take_path(struct fuzz *f, struct buf *path)
{
	uint8_t which = program_next(f);

	if (which >= 224) {
		take(f, path, PATH_BYTES_MAX);
		return false;
	}
	buf_reset(path);
	buf_add_str(path, paths[which % PATHS]);
	return which % PATHS < SURE_PATHS;
}

static const char *const directories[] = {"notes", "notes/deep", "presence/s1", "presence/:s2",
	"presence/s1/sub", "presence", "presence/s9", "other", "projects/ada", "a/b", "projects/bo",
	"learning/index", "", "config.json"};

void program_take_directory(struct fuzz *f, struct buf *path)
{
	uint8_t which = program_next(f);

	buf_reset(path);
	if (which >= 240)
		take(f, path, PATH_BYTES_MAX);
	else
		buf_add_str(path,
			directories[which % (sizeof(directories) / sizeof(*directories))]);
}

static const char *const good[] = {"%u", "\"text %u\"",
	"{\"n\": %u, \"tags\": {\"#set\": [\":a\", \"b\"]}}", "[%u, null, {\"#list\": []}]\n",
	"{\"#dec\": \"%u.50\"}", "{\"learning/id\": \"%u\", \"a/b\": 1.5}",
	"{\"#ratio\": \"%u/1000000007\"}",
	"{\"'s\": {\"#[1 2]\": {\"#inst\": \"2020\"}}, \"n\": %u}",
	"  {\"#map\": [[{\"#sym\": \"x\"}, %u]]}"};
static const char *const fixed[] = {"{}", "null", "[]", "\"\"", "{\"a\": 1, \"a\": 2}", "{\"a\": 1",
	"", "{\"#kw\": \"a/1\"}", "{\"#my/tag\": 1}", "\"\\ud800\"", "1e400",
	"{\"#1\": 1, \"#1N\": 2}"};
enum {
	GOOD = sizeof(good) / sizeof(*good),
	FIXED = sizeof(fixed) / sizeof(*fixed),
	SURE_FIXED = 4,
};

bool program_take_bytes(struct fuzz *f)
{
	uint8_t which = program_next(f);

	buf_reset(&f->bytes);
	if (which >= 200) {
		take(f, &f->bytes, 510);
		return false;
	}
	if (which >= 190) {
		/* more than a document may have, or nearly */
		buf_add_char(&f->bytes, '"');
		for (int i = 0; i < DOC_BYTES_MAX - 5 + which % 10; i++)
			buf_add_char(&f->bytes, 'x');
		buf_add_char(&f->bytes, '"');
		return f->bytes.len <= DOC_BYTES_MAX;
	}
	if (which >= 128) {
		buf_add_str(&f->bytes, fixed[which % FIXED]);
		return which % FIXED < SURE_FIXED;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	buf_add_format(&f->bytes, good[which % GOOD], ++f->fresh);
#pragma GCC diagnostic pop
	return true;
}

/* ---- what a memory may answer ---- */

int answered(int ret)
{
	static const int refusals[] = {-ENOENT, -EINVAL, -EBADMSG, -EFBIG, -EISDIR, -ENOTDIR,
		-EEXIST, -ENOTEMPTY, -EXDEV, -EBUSY, -ENODEV, -ENAMETOOLONG};
	bool known = ret == 0;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
		known |= ret == refusals[i];
	if (!known)
		fprintf(stderr, "errno %d\n", -ret);
	must(known, "nothing fails but what is refused");
	return ret;
}

void well(int ret, const struct err *err, const char *what)
{
	if (ret)
		fprintf(stderr, "%d: %s\n", ret, err->text);
	must(ret == 0, what);
}
