/* SPDX-License-Identifier: MIT */
/* Extended attributes: what ourofs tells of a document, and none of a user's. */
#include "ops.h"

#include <errno.h>
#include <sys/xattr.h>

static void reply_xattr(fuse_req_t req, struct slice value, size_t size)
{
	if (!size)
		fuse_reply_xattr(req, value.len);
	else if (size < value.len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value.ptr, value.len);
}

static int describe(struct fs *fs, const struct node *node, struct buf *key, const char **type,
	const char **source)
{
	struct buf path = BUF_INIT;
	int ret = node_kind(node) == NODE_DOCUMENT || node_kind(node) == NODE_DIRECTORY
			  ? fs_path(fs, node, NULL, &path)
			  : -ENODATA;

	if (!ret)
		ret = memory_describe(fs->memory, buf_slice(&path), key, type, source);
	buf_release(&path);
	return ret == -ENOENT || ret == -EINVAL ? -ENODATA : ret;
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs *fs = fs_of(req);
	struct buf key = BUF_INIT;
	const char *type = "", *source = "";
	int ret = -ENODATA;

	/* The kernel asks for security.capability before writes: that must be cheap. */
	if (!strncmp(name, "user.ourofs.", 12))
		ret = describe(fs, node_of(fs, ino), &key, &type, &source);
	if (ret)
		fuse_reply_err(req, -ret);
	else if (!strcmp(name, "user.ourofs.key"))
		reply_xattr(req, buf_slice(&key), size);
	else if (!strcmp(name, "user.ourofs.type"))
		reply_xattr(req, slice_str(type), size);
	else if (!strcmp(name, "user.ourofs.source"))
		reply_xattr(req, slice_str(source), size);
	else
		fuse_reply_err(req, ENODATA);
	buf_release(&key);
}

/* They are found by name alone: who copies all that are listed would fail to set them, here and elsewhere. */
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	(void)ino;
	reply_xattr(req, slice_str(""), size);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
	int flags)
{
	(void)ino;
	(void)name;
	(void)value;
	(void)size;
	(void)flags;
	fuse_reply_err(req, EOPNOTSUPP);
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	(void)ino;
	(void)name;
	fuse_reply_err(req, EOPNOTSUPP);
}
