/* SPDX-License-Identifier: MIT */
#include "ctl.h"
#include "ctl_mount.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- who uses it ---- */

static bool leads_into(const char *link, const char *root, char *to, size_t size)
{
	ssize_t len = readlink(link, to, size - 1);
	size_t root_len = strlen(root);

	if (len < 0)
		return false;
	to[len] = '\0';
	return strncmp(to, root, root_len) == 0 && (to[root_len] == '/' || to[root_len] == '\0');
}

struct users {
	const char *root;
	size_t count; /* of those that were printed */
};

static void print_user(struct users *users, const char *pid, const char *how, char *to)
{
	char path[64], name[64] = "?";
	FILE *file;

	if (!users->count++)
		ctl_complain("%s is in use:", users->root);
	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	file = fopen(path, "re");
	if (file && fgets(name, sizeof(name), file))
		name[strcspn(name, "\n")] = '\0';
	if (file)
		fclose(file);
	fprintf(stderr, "    %s (process %s) %s %s\n", ctl_printable(name), pid, how,
		ctl_printable(to));
}

/* One line a process will do. */
static void look_at_process(struct users *users, const char *pid)
{
	char path[320], to[4096];
	struct dirent *entry;
	DIR *files;

	snprintf(path, sizeof(path), "/proc/%.20s/cwd", pid);
	if (leads_into(path, users->root, to, sizeof(to))) {
		print_user(users, pid, "works in", to);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	files = opendir(path);
	while (files && (entry = readdir(files))) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.255s", pid, entry->d_name);
		if (leads_into(path, users->root, to, sizeof(to))) {
			print_user(users, pid, "has open", to);
			break;
		}
	}
	if (files)
		closedir(files);
}

static void print_users(const char *root)
{
	struct users users = {.root = root};
	DIR *processes = opendir("/proc");
	struct dirent *entry;

	while (processes && (entry = readdir(processes)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
			strtol(entry->d_name, NULL, 10) != getpid())
			look_at_process(&users, entry->d_name);
	if (processes)
		closedir(processes);
	if (!users.count)
		ctl_complain(
			"%s could not be unmounted: it is not yours, or whoever uses it can't be "
			"seen by you",
			root);
}

/* ---- unmounting ---- */

/* fusermount3 may do it for whoever mounted, and says why not. Its status, or a negative errno. */
static int run_fusermount(const char *root, bool lazy)
{
	const char *argv[] = {"fusermount3", "-u", "-q", lazy ? "-z" : "--", root, NULL};
	int status;
	pid_t pid;
	int ret = -posix_spawnp(&pid, argv[0], NULL, NULL, (char **)(uintptr_t)argv, environ);

	if (ret)
		return ret;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* -1 where it can't be watched: it ended, or its number is another's in this namespace. */
static int open_daemon(const struct ctl_mount *mount)
{
	cJSON *health = NULL;
	int fd = -1;

	if (!ctl_mount_json(mount, ".health", &health, NULL))
		fd = (int)syscall(SYS_pidfd_open, (pid_t)ctl_json_number(health, "pid"), 0);
	cJSON_Delete(health);
	return fd;
}

static void wait_for_daemon(int fd)
{
	struct pollfd end = {.fd = fd, .events = POLLIN};

	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
}

static enum ctl_status unmount(const struct ctl_mount *mount, bool lazy, int daemon)
{
	struct err err = {0};
	int ret = ctl_mount_write(mount, ".sync", "1\n", &err);

	if (ret == -EROFS || ret == -EACCES)
		ret = 0; /* a read-only mount has nothing to bring anywhere */
	if (ret) {
		ctl_complain("%s: it stays mounted (fusermount3 -u %s unmounts it all the same)",
			err.text, mount->root);
		return CTL_FAILED;
	}
	/* whoever stands in the mount himself need not stay there for us */
	ret = chdir("/") ? -errno : run_fusermount(mount->root, lazy);
	if (ret < 0) {
		ctl_complain("can't run fusermount3: %s", strerror(-ret));
		return CTL_FAILED;
	}
	if (ret) {
		print_users(mount->root);
		return CTL_FAILED;
	}
	if (!lazy && daemon >= 0)
		wait_for_daemon(daemon);
	return CTL_FINE;
}

enum ctl_status ctl_unmount(const struct ctl_args *args)
{
	enum ctl_status status = CTL_FAILED;
	struct ctl_mount mount;
	struct err err = {0};

	if (ctl_mount_find(&mount, args->operands[0], &err)) {
		ctl_complain("%s", err.text);
	} else {
		int daemon = open_daemon(&mount);

		status = unmount(&mount, args->given[CTL_UNMOUNT_LAZY], daemon);
		if (daemon >= 0)
			close(daemon);
	}
	ctl_mount_release(&mount);
	return status;
}
