/* SPDX-License-Identifier: MIT */
#include "timed.h"

#include "metrics.h"
#include "ops.h"

/* One call of an operation on its thread. */
struct timing {
	struct metrics *metrics;
	enum operation operation;
	fuse_req_t req; /* gone once it is answered: only compared */
	uint64_t start_ns;
	int error;
	bool later;
};

/* The one on this thread. Not a global in disguise: it never outlives the call, and libfuse's request has no room for it. */
static _Thread_local struct timing *current;

static void begin(struct timing *timing, fuse_req_t req, enum operation operation)
{
	*timing = (struct timing){.metrics = fs_of(req)->metrics,
		.operation = operation,
		.req = req,
		.start_ns = metrics_now_ns()};
	current = timing;
	memory_serves(fs_of(req)->memory);
}

static void end(const struct timing *timing)
{
	current = NULL;
	if (!timing->later)
		metrics_operation(timing->metrics, timing->operation, timing->error,
			metrics_now_ns() - timing->start_ns);
}

void timed_result(fuse_req_t req, int error)
{
	if (current && current->req == req)
		current->error = error;
}

uint64_t timed_later(fuse_req_t req)
{
	if (!current || current->req != req)
		return metrics_now_ns();
	current->later = true;
	return current->start_ns;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
int __real_fuse_reply_err(fuse_req_t req, int error);
int __wrap_fuse_reply_err(fuse_req_t req, int error);

int __wrap_fuse_reply_err(fuse_req_t req, int error)
{
	timed_result(req, error);
	return __real_fuse_reply_err(req, error);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

#define PARAMETERS(...) (fuse_req_t req, __VA_ARGS__)
#define TIMED(name, parameters, ...)                   \
	static void timed_##name parameters            \
	{                                              \
		struct timing timing;                  \
                                                       \
		begin(&timing, req, OPERATION_##name); \
		ops_##name(req, __VA_ARGS__);          \
		end(&timing);                          \
	}

TIMED(lookup, PARAMETERS(fuse_ino_t parent, const char *name), parent, name)
TIMED(getattr, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi), ino, fi)
TIMED(setattr, PARAMETERS(fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi),
	ino, attr, to_set, fi)
TIMED(statfs, PARAMETERS(fuse_ino_t ino), ino)
TIMED(getxattr, PARAMETERS(fuse_ino_t ino, const char *name, size_t size), ino, name, size)
TIMED(listxattr, PARAMETERS(fuse_ino_t ino, size_t size), ino, size)
TIMED(setxattr,
	PARAMETERS(fuse_ino_t ino, const char *name, const char *value, size_t size, int flags),
	ino, name, value, size, flags)
TIMED(removexattr, PARAMETERS(fuse_ino_t ino, const char *name), ino, name)
TIMED(opendir, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi), ino, fi)
TIMED(readdir, PARAMETERS(fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi),
	ino, size, offset, fi)
TIMED(readdirplus, PARAMETERS(fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi),
	ino, size, offset, fi)
TIMED(releasedir, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi), ino, fi)
TIMED(fsyncdir, PARAMETERS(fuse_ino_t ino, int datasync, struct fuse_file_info *fi), ino, datasync,
	fi)
TIMED(mkdir, PARAMETERS(fuse_ino_t parent, const char *name, mode_t mode), parent, name, mode)
TIMED(rmdir, PARAMETERS(fuse_ino_t parent, const char *name), parent, name)
TIMED(unlink, PARAMETERS(fuse_ino_t parent, const char *name), parent, name)
TIMED(rename,
	PARAMETERS(fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		unsigned int flags),
	parent, name, new_parent, new_name, flags)
TIMED(symlink, PARAMETERS(const char *target, fuse_ino_t parent, const char *name), target, parent,
	name)
TIMED(link, PARAMETERS(fuse_ino_t ino, fuse_ino_t parent, const char *name), ino, parent, name)
TIMED(mknod, PARAMETERS(fuse_ino_t parent, const char *name, mode_t mode, dev_t device), parent,
	name, mode, device)
TIMED(open, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi), ino, fi)
TIMED(create,
	PARAMETERS(fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi),
	parent, name, mode, fi)
TIMED(read, PARAMETERS(fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi), ino,
	size, offset, fi)
TIMED(write,
	PARAMETERS(fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
		struct fuse_file_info *fi),
	ino, bytes, size, offset, fi)
TIMED(flush, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi), ino, fi)
TIMED(fsync, PARAMETERS(fuse_ino_t ino, int datasync, struct fuse_file_info *fi), ino, datasync, fi)
TIMED(release, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi), ino, fi)
TIMED(fallocate,
	PARAMETERS(fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi),
	ino, mode, offset, length, fi)
TIMED(lseek, PARAMETERS(fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi), ino,
	offset, whence, fi)
TIMED(copy_file_range,
	PARAMETERS(fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
		fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len,
		int flags),
	ino_in, off_in, fi_in, ino_out, off_out, fi_out, len, flags)
TIMED(flock, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi, int op), ino, fi, op)
TIMED(getlk, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock), ino, fi,
	lock)
TIMED(setlk, PARAMETERS(fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int sleep),
	ino, fi, lock, sleep)

static void init(void *userdata, struct fuse_conn_info *connection)
{
	(void)userdata;
	connection->want |= connection->capable & FUSE_CAP_ATOMIC_O_TRUNC;
	/* A node's pages are one version's: they neither age nor hide what a writer has not committed. */
	connection->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE);
	/*
	 * Left to itself the kernel takes attributes with the first names of a directory, and for the others, which
	 * were read before anyone asked, a lookup each: four times as much in all. Few read names and nothing else.
	 */
	connection->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
}

const struct fuse_lowlevel_ops fs_operations = {.init = init,
	.forget = ops_forget, /* not answered */
	.forget_multi = ops_forget_multi,
#define ROW(name) .name = timed_##name,
	METRICS_OPERATIONS(ROW)
#undef ROW
};
