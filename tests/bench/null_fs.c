/* SPDX-License-Identifier: MIT */
/*
 * The floor: a filesystem that answers from memory and keeps nothing.
 *
 *	null_fs [-j JOURNAL] SOURCE MOUNTPOINT
 *	null_fs COLLECTIONS MEMBERS MOUNTPOINT
 *
 * All of SOURCE is read before the mount and changes by what is asked of the mount alone, so the kernel may keep all
 * that it was told. The other one shows session-0/user-0.json and so on, all with the same bytes. The session is as that of
 * ourofs: the same loop and threads, mount options and answers to OPEN and CREATE, and it has extended attributes, of which no
 * file has any. What is left of an operation's time is that of the kernel and of libfuse. With -j it appends to that
 * file what is saved, renamed and removed before it answers, and an fsync waits for the disk: no filesystem that is to
 * outlive a kill does less. Stays in the foreground.
 */
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "null_journal.h"
#include "null_tree.h"

enum { LONG_S = 86400, THREADS = 10 };

/* Of the tree. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

static struct fuse_entry_param entry_of(size_t number)
{
	return (struct fuse_entry_param){
		.ino = number + 1,
		.attr = nodes[number].st,
		.attr_timeout = LONG_S,
		.entry_timeout = LONG_S,
	};
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {.entry_timeout = LONG_S};
	size_t found;

	pthread_rwlock_rdlock(&lock);
	found = tree_find(&nodes[parent - 1], name);
	if (found)
		entry = entry_of(found);
	pthread_rwlock_unlock(&lock);
	fuse_reply_entry(req, &entry);
}

static void null_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	(void)ino;
	(void)lookups;
	fuse_reply_none(req);
}

static void null_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count;
	(void)forgets;
	fuse_reply_none(req);
}

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	pthread_rwlock_rdlock(&lock);
	st = nodes[ino - 1].st;
	pthread_rwlock_unlock(&lock);
	fuse_reply_attr(req, &st, LONG_S);
}

static void null_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
	struct fuse_file_info *fi)
{
	struct node *node = &nodes[ino - 1];

	pthread_rwlock_wrlock(&lock);
	if (to_set & FUSE_SET_ATTR_SIZE)
		tree_resize(node, (size_t)attr->st_size);
	if (to_set & FUSE_SET_ATTR_MODE)
		node->st.st_mode = (node->st.st_mode & S_IFMT) | (attr->st_mode & 0777);
	if (to_set & FUSE_SET_ATTR_MTIME)
		node->st.st_mtim = attr->st_mtim;
	pthread_rwlock_unlock(&lock);
	null_getattr(req, ino, fi);
}

/* What writers of these have written is theirs alone in ourofs, and does not go through the kernel's pages. */
static bool is_document(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcmp(name + len - 5, ".json");
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node = &nodes[ino - 1];

	if ((fi->flags & O_ACCMODE) == O_RDONLY) {
		fi->keep_cache = 1;
		fi->noflush = 1;
	} else {
		pthread_rwlock_wrlock(&lock);
		fi->direct_io = is_document(node->name);
		if (fi->flags & O_TRUNC)
			tree_resize(node, 0);
		pthread_rwlock_unlock(&lock);
	}
	fuse_reply_open(req, fi);
}

static void null_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;

	pthread_rwlock_wrlock(&lock);
	entry = entry_of(tree_create(&nodes[parent - 1], name, mode));
	pthread_rwlock_unlock(&lock);
	fi->direct_io = is_document(name);
	fuse_reply_create(req, &entry, fi);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	const struct node *node = &nodes[ino - 1];
	size_t left;

	(void)fi;
	pthread_rwlock_rdlock(&lock);
	left = offset < node->st.st_size ? (size_t)(node->st.st_size - offset) : 0;
	fuse_reply_buf(req, left ? node->bytes + offset : NULL, left < size ? left : size);
	pthread_rwlock_unlock(&lock);
}

static void null_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	(void)fi;
	pthread_rwlock_wrlock(&lock);
	tree_write(&nodes[ino - 1], bytes, size, (size_t)offset);
	pthread_rwlock_unlock(&lock);
	fuse_reply_write(req, size);
}

static void null_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	bool removed;

	pthread_rwlock_wrlock(&lock);
	removed = tree_remove(&nodes[parent - 1], name);
	pthread_rwlock_unlock(&lock);
	if (removed)
		null_journal_append(name, strlen(name));
	fuse_reply_err(req, removed ? 0 : ENOENT);
}

static void null_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	const char *new_name, unsigned flags)
{
	bool moved;

	if (flags) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	pthread_rwlock_wrlock(&lock);
	moved = tree_move(&nodes[parent - 1], name, &nodes[new_parent - 1], new_name);
	if (moved) {
		const struct node *node = &nodes[tree_find(&nodes[new_parent - 1], new_name)];

		null_journal_append(node->bytes, (size_t)node->st.st_size);
	}
	pthread_rwlock_unlock(&lock);
	fuse_reply_err(req, moved ? 0 : ENOENT);
}

/* So that the kernel goes on asking for security.capability, as it does where files may have some. */
static void null_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)ino;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

static void save(struct node *node)
{
	pthread_rwlock_wrlock(&lock);
	if (node->written && is_document(node->name))
		null_journal_append(node->bytes, (size_t)node->st.st_size);
	node->written = false;
	pthread_rwlock_unlock(&lock);
}

static void null_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	save(&nodes[ino - 1]);
	fuse_reply_err(req, 0);
}

static void null_fsync(fuse_req_t req, fuse_ino_t ino, int only_data, struct fuse_file_info *fi)
{
	(void)only_data;
	(void)fi;
	save(&nodes[ino - 1]);
	null_journal_sync();
	fuse_reply_err(req, 0);
}

static void null_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* An entry's offset is the next one's number; 0 and 1 are the dots. */
static size_t add_entry(fuse_req_t req, char *to, size_t room, const struct node *node, off_t at,
	bool plus)
{
	static const char *const dots[] = {".", ".."};
	struct fuse_entry_param entry = {.attr = {.st_mode = S_IFDIR, .st_ino = FUSE_ROOT_ID}};
	const char *name;

	if (at < 2) {
		name = dots[at];
	} else {
		entry = entry_of(node->children[at - 2]);
		name = nodes[node->children[at - 2]].name;
	}
	return plus ? fuse_add_direntry_plus(req, to, room, name, &entry, at + 1)
		    : fuse_add_direntry(req, to, room, name, &entry.attr, at + 1);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
	const struct node *node = &nodes[ino - 1];
	char *bytes = malloc(size);
	size_t used = 0;

	if (!bytes) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_rwlock_rdlock(&lock);
	for (; (size_t)offset < node->count + 2; offset++) {
		size_t need = add_entry(req, bytes + used, size - used, node, offset, plus);

		if (need > size - used)
			break;
		used += need;
	}
	pthread_rwlock_unlock(&lock);
	fuse_reply_buf(req, bytes, used);
	free(bytes);
}

static void null_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, false);
}

static void null_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, true);
}

static void null_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_open(req, fi);
}

static void null_init(void *userdata, struct fuse_conn_info *connection)
{
	(void)userdata;
	connection->want |= connection->capable & FUSE_CAP_ATOMIC_O_TRUNC;
	connection->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE |
					FUSE_CAP_READDIRPLUS_AUTO);
}

static const struct fuse_lowlevel_ops operations = {
	.init = null_init,
	.lookup = null_lookup,
	.forget = null_forget,
	.forget_multi = null_forget_multi,
	.getattr = null_getattr,
	.setattr = null_setattr,
	.getxattr = null_getxattr,
	.open = null_open,
	.create = null_create,
	.read = null_read,
	.write = null_write,
	.flush = null_flush,
	.fsync = null_fsync,
	.release = null_release,
	.unlink = null_unlink,
	.rename = null_rename,
	.opendir = null_opendir,
	.readdir = null_readdir,
	.readdirplus = null_readdirplus,
	.releasedir = null_release,
};

static int serve(const char *mountpoint)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session = NULL;
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int ret = -1;

	if (!fuse_opt_add_arg(&args, "null_fs") &&
		!fuse_opt_add_arg(&args, "-ofsname=null_fs,default_permissions"))
		session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!session || !config || fuse_set_signal_handlers(session))
		return -1;
	fuse_loop_cfg_set_clone_fd(config, 0);
	fuse_loop_cfg_set_max_threads(config, THREADS);
	fuse_loop_cfg_set_idle_threads(config, THREADS);
	if (!fuse_session_mount(session, mountpoint)) {
		ret = fuse_session_loop_mt(session, config);
		fuse_session_unmount(session);
	}
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	fuse_loop_cfg_destroy(config);
	fuse_opt_free_args(&args);
	return ret < 0 ? ret : 0;
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "j:")) == 'j')
		null_journal_open(optarg);
	argc -= optind;
	argv += optind;
	if (option != -1 || (argc != 2 && argc != 3)) {
		(void)fputs("usage: null_fs [-j JOURNAL] SOURCE MOUNTPOINT\n"
			    "       null_fs COLLECTIONS MEMBERS MOUNTPOINT\n",
			stderr);
		return EXIT_FAILURE;
	}
	if (argc == 2)
		tree_load(argv[0]);
	else
		tree_make(strtoul(argv[0], NULL, 10), strtoul(argv[1], NULL, 10));
	return serve(argv[argc - 1]) ? EXIT_FAILURE : EXIT_SUCCESS;
}
