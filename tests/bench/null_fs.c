/* SPDX-License-Identifier: MIT */
/*
 * The floor: a filesystem that shows a copy of a tree from memory and looks for nothing.
 *
 *	null_fs SOURCE MOUNTPOINT
 *	null_fs COLLECTIONS MEMBERS MOUNTPOINT
 *
 * All of SOURCE is read before the mount and never changes, so the kernel may keep all that it was
 * told. The other one shows session-0/user-0.json and so on, all with the same bytes. The session is as that of ourofs: the same loop and threads, the same answers to OPEN. What is
 * left of an operation's time is that of the kernel and of libfuse. Stays in the foreground.
 */
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONG_S = 86400, THREADS = 10, NODES_MAX = 1 << 20 };

/* Node number n is the kernel's n + 1, so that the root, 0, is FUSE_ROOT_ID. */
struct node {
	char *name;
	char *bytes; /* of a file */
	struct stat st;
	size_t *children; /* of a directory, by name */
	size_t count;
};

static struct node *nodes; /* room for NODES_MAX: never moved, only read once mounted */
static size_t node_count;

/* ---- reading the source ---- */

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void *allocate(size_t size)
{
	void *memory = calloc(1, size ? size : 1);

	if (!memory)
		die("null_fs");
	return memory;
}

static size_t node_add(const char *name, const struct stat *st)
{
	struct node *node = &nodes[node_count];

	if (node_count == NODES_MAX) {
		errno = ENFILE;
		die(name);
	}
	node->name = strdup(name);
	if (!node->name)
		die(name);
	node->st = *st;
	node->st.st_ino = node_count + 1;
	return node_count++;
}

static size_t node_load(int parent_fd, const char *name)
{
	struct stat st;

	if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		die(name);
	return node_add(name, &st);
}

static void load_file(struct node *node, int fd)
{
	node->bytes = allocate((size_t)node->st.st_size);
	if (read(fd, node->bytes, (size_t)node->st.st_size) != node->st.st_size)
		die(node->name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(nodes[*(const size_t *)a].name, nodes[*(const size_t *)b].name);
}

static void sort_children(struct node *node)
{
	if (node->count)
		qsort(node->children, node->count, sizeof(*node->children), by_name);
}

static void load_directory(struct node *node, int fd)
{
	DIR *directory = fdopendir(fd);
	const struct dirent *entry;

	if (!directory)
		die(node->name);
	while ((entry = readdir(directory))) {
		size_t *grown;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		grown = realloc(node->children, (node->count + 1) * sizeof(*grown));
		if (!grown)
			die("null_fs");
		node->children = grown;
		node->children[node->count++] = node_load(fd, entry->d_name);
	}
	sort_children(node);
	for (size_t i = 0; i < node->count; i++) {
		struct node *child = &nodes[node->children[i]];
		int child_fd = openat(fd, child->name, O_RDONLY | O_NOFOLLOW);

		if (child_fd < 0)
			die(child->name);
		if (S_ISDIR(child->st.st_mode)) {
			load_directory(child, child_fd); // NOLINT(misc-no-recursion)
		} else {
			load_file(child, child_fd);
			close(child_fd);
		}
	}
	closedir(directory);
}

/* ---- a tree of any size ---- */

/* Of a directory that has room for it: a child of that name, with a number behind. */
static struct node *make_child(struct node *parent, const char *prefix, size_t n,
	const char *suffix, mode_t mode)
{
	const struct stat st = {
		.st_mode = mode, .st_nlink = 1, .st_uid = getuid(), .st_gid = getgid()};
	char name[64];

	(void)snprintf(name, sizeof(name), "%s%zu%s", prefix, n, suffix);
	parent->children[parent->count++] = node_add(name, &st);
	return &nodes[node_count - 1];
}

static struct node *make_directory(struct node *parent, const char *prefix, size_t n, size_t room)
{
	struct node *node = make_child(parent, prefix, n, "", S_IFDIR | 0700);

	node->children = allocate(room * sizeof(*node->children));
	return node;
}

static void make_tree(size_t collections, size_t members)
{
	static char bytes[220];
	struct node *root = &nodes[0];

	memset(bytes, 'x', sizeof(bytes));
	root->children = allocate(collections * sizeof(*root->children));
	for (size_t c = 0; c < collections; c++) {
		struct node *session = make_directory(root, "session-", c, members);

		for (size_t m = 0; m < members; m++) {
			struct node *user =
				make_child(session, "user-", m, ".json", S_IFREG | 0600);

			user->bytes = bytes;
			user->st.st_size = sizeof(bytes);
		}
		sort_children(session);
	}
	sort_children(root);
}

/* ---- answers ---- */

static struct fuse_entry_param entry_of(size_t number)
{
	return (struct fuse_entry_param){
		.ino = number + 1,
		.attr = nodes[number].st,
		.attr_timeout = LONG_S,
		.entry_timeout = LONG_S,
	};
}

static int by_key(const void *key, const void *child)
{
	return strcmp(key, nodes[*(const size_t *)child].name);
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct node *node = &nodes[parent - 1];
	const size_t *found = node->count ? bsearch(name, node->children, node->count,
						    sizeof(*node->children), by_key)
					  : NULL;
	struct fuse_entry_param entry = {.entry_timeout = LONG_S};

	if (found)
		entry = entry_of(*found);
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
	(void)fi;
	fuse_reply_attr(req, &nodes[ino - 1].st, LONG_S);
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
		return;
	}
	fi->keep_cache = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	const struct node *node = &nodes[ino - 1];
	size_t left = offset < node->st.st_size ? (size_t)(node->st.st_size - offset) : 0;

	(void)fi;
	fuse_reply_buf(req, left ? node->bytes + offset : NULL, left < size ? left : size);
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
	for (; (size_t)offset < node->count + 2; offset++) {
		size_t need = add_entry(req, bytes + used, size - used, node, offset, plus);

		if (need > size - used)
			break;
		used += need;
	}
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
	connection->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE);
}

static const struct fuse_lowlevel_ops operations = {
	.init = null_init,
	.lookup = null_lookup,
	.forget = null_forget,
	.forget_multi = null_forget_multi,
	.getattr = null_getattr,
	.open = null_open,
	.read = null_read,
	.release = null_release,
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
	int fd;

	if (argc != 3 && argc != 4) {
		(void)fputs("usage: null_fs SOURCE MOUNTPOINT\n"
			    "       null_fs COLLECTIONS MEMBERS MOUNTPOINT\n",
			stderr);
		return EXIT_FAILURE;
	}
	fd = open(argc == 3 ? argv[1] : "/", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		die(argv[1]);
	nodes = allocate(NODES_MAX * sizeof(*nodes));
	(void)node_load(fd, ".");
	if (argc == 3)
		load_directory(&nodes[0], fd);
	else
		make_tree(strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10));
	return serve(argv[argc - 1]) ? EXIT_FAILURE : EXIT_SUCCESS;
}
