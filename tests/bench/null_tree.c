/* SPDX-License-Identifier: MIT */
#include "null_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct node *nodes;
static size_t node_count;

/* ---- reading the source ---- */

void die(const char *what)
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
	node->size = (size_t)node->st.st_size;
	node->bytes = allocate(node->size);
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

static void make_room(struct node *directory)
{
	size_t *grown;

	if (directory->count < directory->room)
		return;
	directory->room = directory->room ? 2 * directory->room : 16;
	grown = realloc(directory->children, directory->room * sizeof(*grown));
	if (!grown)
		die("null_fs");
	directory->children = grown;
}

static void load_directory(struct node *node, int fd)
{
	DIR *directory = fdopendir(fd);
	const struct dirent *entry;

	if (!directory)
		die(node->name);
	while ((entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		make_room(node);
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
	node->room = room;
	return node;
}

static void make_tree(size_t collections, size_t members)
{
	static char bytes[220];
	struct node *root = &nodes[0];

	memset(bytes, 'x', sizeof(bytes));
	root->children = allocate(collections * sizeof(*root->children));
	root->room = collections;
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

void tree_load(const char *source)
{
	int fd = open(source, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		die(source);
	nodes = allocate(NODES_MAX * sizeof(*nodes));
	(void)node_load(fd, ".");
	load_directory(&nodes[0], fd);
}

void tree_make(size_t collections, size_t members)
{
	const struct stat st = {
		.st_mode = S_IFDIR | 0700, .st_nlink = 1, .st_uid = getuid(), .st_gid = getgid()};

	nodes = allocate(NODES_MAX * sizeof(*nodes));
	(void)node_add(".", &st);
	make_tree(collections, members);
}

/* ---- changes ---- */

/* Where name is among the children, or where it would be. */
static size_t place_of(const struct node *directory, const char *name)
{
	size_t low = 0, high = directory->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (strcmp(nodes[directory->children[middle]].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t tree_find(const struct node *directory, const char *name)
{
	size_t at = place_of(directory, name);

	if (at == directory->count || strcmp(nodes[directory->children[at]].name, name) != 0)
		return 0;
	return directory->children[at];
}

static void put(struct node *directory, size_t number)
{
	size_t at;

	make_room(directory);
	at = place_of(directory, nodes[number].name);
	memmove(&directory->children[at + 1], &directory->children[at],
		(directory->count++ - at) * sizeof(*directory->children));
	directory->children[at] = number;
}

size_t tree_create(struct node *directory, const char *name, mode_t mode)
{
	const struct stat st = {.st_mode = S_IFREG | (mode & 0777),
		.st_nlink = 1,
		.st_uid = getuid(),
		.st_gid = getgid()};
	size_t number = node_add(name, &st);

	put(directory, number);
	return number;
}

bool tree_remove(struct node *directory, const char *name)
{
	size_t at = place_of(directory, name);

	if (!tree_find(directory, name))
		return false;
	memmove(&directory->children[at], &directory->children[at + 1],
		(--directory->count - at) * sizeof(*directory->children));
	return true;
}

bool tree_move(struct node *from, const char *name, struct node *to, const char *new_name)
{
	size_t number = tree_find(from, name);

	if (!number)
		return false;
	(void)tree_remove(from, name);
	(void)tree_remove(to, new_name);
	free(nodes[number].name);
	nodes[number].name = strdup(new_name);
	if (!nodes[number].name)
		die(new_name);
	put(to, number);
	return true;
}

void tree_resize(struct node *file, size_t size)
{
	if (size > file->size) {
		/* what is shared is let go */
		char *grown = realloc(file->size ? file->bytes : NULL, size);

		if (!grown)
			die("null_fs");
		memset(grown + file->size, 0, size - file->size);
		file->bytes = grown;
		file->size = size;
	}
	file->st.st_size = (off_t)size;
}

void tree_write(struct node *file, const char *bytes, size_t size, size_t offset)
{
	if (offset + size > (size_t)file->st.st_size)
		tree_resize(file, offset + size);
	memcpy(file->bytes + offset, bytes, size);
	file->written = true;
}
