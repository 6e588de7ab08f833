/* SPDX-License-Identifier: MIT */
#include "ednfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As many as the kernel follows. */
enum { LINKS_MAX = 40 };

/* The buf's bytes as a C string of the caller's. */
static int take_string(struct buf *text, char **out)
{
	int ret = buf_cstr(text) ? 0 : -ENOMEM;

	if (ret)
		buf_release(text);
	*out = text->ptr;
	return ret;
}

/* The directory's real path and the last name. */
static int absolute_path(const char *path, char **out)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char *parent =
		slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	char *real = parent ? realpath(parent, NULL) : NULL;
	struct buf full = BUF_INIT;
	int ret = 0;

	if (!parent)
		ret = -ENOMEM;
	else if (!real)
		ret = -errno;
	else if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		ret = -EISDIR;
	if (ret)
		goto out;
	if (real[1])
		buf_add_str(&full, real);
	buf_add_char(&full, '/');
	buf_add_str(&full, name);
	ret = take_string(&full, out);
out:
	free(real);
	free(parent);
	return ret;
}

/* What the link at path (absolute) says, as a path that can be used from anywhere. -EINVAL: no link. */
static int read_link(const char *path, char **out)
{
	char text[4096];
	struct buf full = BUF_INIT;
	ssize_t len = readlink(path, text, sizeof(text));

	if (len < 0)
		return -errno;
	if ((size_t)len == sizeof(text))
		return -ENAMETOOLONG;
	if (text[0] != '/')
		buf_add(&full, path, (size_t)(strrchr(path, '/') + 1 - path));
	buf_add(&full, text, (size_t)len);
	return take_string(&full, out);
}

int ednfile_resolve(const char *path, char **absolute, char **target, struct err *err)
{
	char *at = NULL;
	int ret = absolute_path(path, &at);

	*absolute = !ret ? strdup(at) : NULL;
	if (!ret && !*absolute)
		ret = -ENOMEM;
	for (int links = 0; !ret; links++) {
		char *next = NULL;

		ret = links < LINKS_MAX ? read_link(at, &next) : -ELOOP;
		if (ret == -EINVAL || ret == -ENOENT) {
			*target = at;
			return 0;
		}
		if (ret)
			break;
		free(at);
		at = NULL;
		ret = next ? absolute_path(next, &at) : -ENOMEM;
		free(next);
	}
	free(at);
	free(*absolute);
	*absolute = NULL;
	return err_set(err, ret, "%s: %s", path, strerror(-ret));
}
