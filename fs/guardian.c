/* SPDX-License-Identifier: MIT */
#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_ROOM = 64, SOCKET = 3 };

/* Linux 6.8: a number that no other mount will have; before, it may be that of a later one. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

/* What it is asked for. */
static const char MOUNT = 'm', UNMOUNT = 'u';

/* A descriptor that goes along with a byte. */
union passed {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static int no_device(int flags)
{
	return open("/dev/null", flags | O_CLOEXEC);
}

/* ---- the guardian ---- */

struct guard {
	struct fuse_args *args;
	const char *mountpoint;
	pid_t daemon;
	int signals;    /* tells of the daemon's end */
	int control;    /* aborts the connection; -1 */
	uint64_t mount; /* its number */
	struct fuse_session *session;
};

/* The numbers alone, for which nobody has to answer: where nobody serves yet, or any more, too. */
static int know(int dir, const char *path, struct statx *st)
{
	return statx(dir, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		STATX_MNT_ID | STATX_MNT_ID_UNIQUE, st);
}

/* The root of the mount; -1: it is gone. Another one, of the next daemon, may be in its place by now. */
static int open_mount(const struct guard *guard)
{
	struct statx st;
	int fd = open(guard->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || (!know(fd, "", &st) && st.stx_mnt_id == guard->mount))
		return fd;
	close(fd);
	return -1;
}

/*
 * By the control file, which its owner may write, or else as root by a forced unmount of what is busy. The file was
 * opened while the connection was there: its name, a device's number, may be that of a new mount by now.
 */
static void abort_connection(const struct guard *guard)
{
	char path[PATH_ROOM];
	int fd;

	if (guard->control >= 0) {
		(void)!write(guard->control, "1", 1);
		return;
	}
	/* Busy because of this descriptor: the mount stays, so that nothing is written below it. */
	fd = open_mount(guard);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd >= 0)
		(void)umount2(path, MNT_FORCE);
}

/* What is mounted may be unmounted at once, and its number another's: as long as it is there, the file is its own. */
static void know_mount(struct guard *guard)
{
	char path[PATH_ROOM];
	struct statx st;

	if (know(AT_FDCWD, guard->mountpoint, &st))
		return;
	guard->mount = st.stx_mnt_id;
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", st.stx_dev_minor);
	guard->control = open(path, O_WRONLY | O_CLOEXEC);
	if (guard->control < 0 ||
		(!know(AT_FDCWD, guard->mountpoint, &st) && st.stx_mnt_id == guard->mount))
		return;
	close(guard->control);
	guard->control = -1;
}

/* device: -1, it could not be mounted. */
static int send_device(int device)
{
	union passed passed = {.room = ""};
	char byte = MOUNT;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (device >= 0) {
		message.msg_control = passed.room;
		message.msg_controllen = sizeof(passed.room);
		passed.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&passed.header), &device, sizeof(device));
	}
	return sendmsg(SOCKET, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The daemon alone holds the device: the connection ends with it. And the terminal is not kept either. */
static void let_go(const struct guard *guard)
{
	int null = no_device(O_RDWR);

	if (null < 0)
		_exit(EXIT_FAILURE);
	dup3(null, fuse_session_fd(guard->session), O_CLOEXEC);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	close(null);
}

static void mount_for(struct guard *guard)
{
	static const struct fuse_lowlevel_ops none = {.init = NULL};

	guard->session = fuse_session_new(guard->args, &none, sizeof(none), NULL);
	if (!guard->session || fuse_session_mount(guard->session, guard->mountpoint)) {
		send_device(-1);
		_exit(EXIT_FAILURE);
	}
	know_mount(guard);
	if (send_device(fuse_session_fd(guard->session))) {
		fuse_session_unmount(guard->session);
		_exit(EXIT_FAILURE);
	}
	let_go(guard);
}

/*
 * auto_unmount: when we end, fusermount3 looks once whether the connection is dead. It is when this is answered: by its
 * end, as there is nobody else to do so.
 */
static void wait_for_connection(const struct guard *guard)
{
	struct statfs st;
	int fd = open_mount(guard);

	if (fd >= 0)
		(void)fstatfs(fd, &st);
}

/* Until the daemon wants nothing any more, or is gone; of its end the socket may tell before the signal. */
static void attend(struct guard *guard)
{
	struct pollfd fds[] = {
		{.fd = guard->signals, .events = POLLIN}, {.fd = SOCKET, .events = POLLIN}};
	char wish;

	/* It may have died before we asked to be told. */
	while (getppid() == guard->daemon) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents)
			break;
		if (read(SOCKET, &wish, 1) != 1)
			return;
		if (wish == MOUNT) {
			mount_for(guard);
		} else if (wish == UNMOUNT) {
			/* Nobody serves it any more, and the kernel may keep it for those who wait for an answer. */
			abort_connection(guard);
			fuse_session_unmount(guard->session);
			return;
		}
	}
	if (guard->session)
		abort_connection(guard);
}

/* Nothing but SIGKILL ends it: a signal to the whole group is the daemon's to answer. */
static void run_guardian(struct guard *guard, int socket)
{
	sigset_t all, end;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGUSR1);
	(void)prctl(PR_SET_NAME, "ourofs-guardian");
	if (socket != SOCKET && dup2(socket, SOCKET) < 0)
		_exit(EXIT_FAILURE);
	/* Not for what is executed to mount: only while its daemon is there it is kept. */
	(void)fcntl(SOCKET, F_SETFD, FD_CLOEXEC);
	(void)close_range(SOCKET + 1, ~0U, 0);
	sigemptyset(&end);
	sigaddset(&end, SIGUSR1);
	guard->signals = signalfd(-1, &end, SFD_CLOEXEC);
	if (guard->signals >= 0 && !chdir("/"))
		attend(guard);
	if (guard->session)
		wait_for_connection(guard);
	_exit(EXIT_SUCCESS);
}

/* ---- the daemon's side ---- */

int guardian_start(struct guardian *guardian, struct fuse_args *args, const char *mountpoint,
	struct err *err)
{
	struct guard child = {
		.args = args, .mountpoint = mountpoint, .daemon = getpid(), .control = -1};
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	guardian->pid = fork();
	if (guardian->pid == 0)
		run_guardian(&child, ends[1]);
	close(ends[1]);
	guardian->socket = ends[0];
	if (guardian->pid > 0)
		return 0;
	err_set(err, -errno, "cannot fork: %s", strerror(errno));
	guardian->pid = 0;
	guardian_stop(guardian);
	return err->code;
}

static int ask(const struct guardian *guardian, char wish)
{
	return send(guardian->socket, &wish, 1, MSG_NOSIGNAL) == 1 ? 0 : -EIO;
}

int guardian_mount(struct guardian *guardian)
{
	union passed passed = {.room = ""};
	char byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = passed.room,
		.msg_controllen = sizeof(passed.room)};
	const struct cmsghdr *header;
	ssize_t len;
	int device;

	if (ask(guardian, MOUNT))
		return -EIO;
	do
		len = recvmsg(guardian->socket, &message, MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	header = len == 1 ? CMSG_FIRSTHDR(&message) : NULL;
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -EIO;
	memcpy(&device, CMSG_DATA(header), sizeof(device));
	return device;
}

/* Waits for its end: was it one of its own accord? */
static bool ends_well(struct guardian *guardian)
{
	int status = 0;

	if (guardian->socket >= 0)
		close(guardian->socket);
	guardian->socket = -1;
	while (guardian->pid && waitpid(guardian->pid, &status, 0) < 0 && errno == EINTR)
		;
	guardian->pid = 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

int guardian_unmount(struct guardian *guardian, struct fuse_session *session, struct err *err)
{
	struct pollfd device = {.fd = fuse_session_fd(session)};
	bool connected = poll(&device, 1, 0) == 0 || !(device.revents & POLLERR);
	int null = no_device(O_RDONLY);

	if (null >= 0) {
		dup3(null, device.fd, O_CLOEXEC);
		close(null);
	}
	if (!connected)
		return 0;
	/* one that is killed just now can still be asked, and does nothing any more */
	if (ask(guardian, UNMOUNT) || !ends_well(guardian))
		return err_set(err, -EIO,
			"ourofs-guardian is gone: `fusermount3 -u -z` unmounts it");
	return 0;
}

void guardian_stop(struct guardian *guardian)
{
	(void)ends_well(guardian);
}
