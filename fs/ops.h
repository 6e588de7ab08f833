/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_OPS_H
#define OUROFS_OPS_H

#include "state.h"
#include "view.h"

/* The low-level operations: one request each, answered exactly once. Filed in fs_operations. */

/*
 * Finds a name, makes or finds its node and counts one lookup of the kernel's. thread: the caller's,
 * to know a writer that was sent here by ESTALE; 0 for readdir.
 */
int ops_enter(struct fs *fs, struct node *parent, struct slice name, pid_t thread,
	struct fuse_entry_param *entry);
/*
 * The same of some names in one directory, for readdir and for less than one by one. -EALREADY: a document of which the
 * kernel was told all already.
 */
enum { OPS_NAMES_MAX = 64 };
struct ops_named {
	struct slice name;
	int ret; /* out, as entry, which is undefined where it is not 0 */
	struct fuse_entry_param entry;
};
void ops_enter_names(struct fs *fs, struct node *parent, struct ops_named *named, size_t count);
/* The same as ops_enter for who holds fs->moves already, and has just made what is there: no control file. */
int ops_enter_alone(struct fs *fs, struct node *parent, struct slice name,
	struct fuse_entry_param *entry);

/*
 * Answers after the name is gone from the kernel's cache when stale, else at once. error is a positive
 * errno or 0.
 */
void ops_answer_stale(struct fs *fs, fuse_req_t req, struct document *document, bool stale,
	int error);

/* What RELEASE does: the last verdict on a draft, the node's new standing; frees the handle. */
void ops_close(struct fs *fs, struct handle *handle);

/* How long the kernel keeps the attributes of a directory, which change without its doing. */
enum { OPS_TIMEOUT_DIRECTORY_S = 1 };

/*
 * Of a document that was just made, whose node is its writer's alone: the kernel, which looks at the mode before it
 * lets anyone have what it made, need not ask for it; what a write changes it asks for anew.
 */
enum { OPS_TIMEOUT_CREATED_S = 1 };

/* Attributes of a node, and how long the kernel may keep them. handle: the one they are asked by, or NULL. */
int ops_stat(struct fs *fs, struct node *node, const struct handle *handle, pid_t thread,
	struct stat *st, double *timeout);

/* A line in /.errors for what a caller can only see as an errno. Returns ret. */
int ops_explain(struct fs *fs, struct slice path, int ret, const struct err *reason);

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
	struct fuse_file_info *fi);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);
void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
	int flags);
void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi);
void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	const char *new_name, unsigned int flags);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
	struct fuse_file_info *fi);
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
	struct fuse_file_info *fi);
void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);
void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
	struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
	struct fuse_file_info *fi_out, size_t len, int flags);
void ops_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);
void ops_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void ops_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
	int sleep);

#endif
