/* SPDX-License-Identifier: MIT */
#include "schema_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 1 << 20 };

static int read_file(const char *path, struct buf *text, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = 0;
	int ret = 0;

	if (fd < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	do {
		char *room = buf_reserve(text, 65536);
		if (!room)
			ret = err_set(err, -ENOMEM, "out of memory");
		else if ((len = read(fd, room, 65536)) < 0)
			ret = err_set(err, -errno, "%s", strerror(errno));
		else if ((text->len += (size_t)len) > FILE_MAX_BYTES)
			ret = err_set(err, -EFBIG, "larger than %d bytes", FILE_MAX_BYTES);
	} while (!ret && len > 0);
	close(fd);
	return ret;
}

int schema_open(struct schema **schema, const char *path, struct err *err)
{
	struct schema *made = NULL;
	struct buf text = BUF_INIT;
	int ret = schema_new(&made, err);

	if (!ret && path)
		ret = read_file(path, &text, err);
	if (!ret && path)
		ret = schema_add(made, buf_slice(&text), err);
	buf_release(&text);
	if (ret)
		schema_free(made);
	else
		*schema = made;
	return ret;
}
