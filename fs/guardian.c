/* SPDX-License-Identifier: MIT */
#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_ROOM = 64 };

/*
 * By the control file, which its owner may write, or else as root by a forced unmount of what is busy. The file was
 * opened while the connection was there: its name, a device's number, may be that of a new mount by now.
 */
static void abort_connection(int control, const char *mountpoint)
{
	int fd;

	if (control >= 0) {
		(void)!write(control, "1", 1);
		return;
	}
	/* Busy because of this descriptor: the mount stays, so that nothing is written below it. */
	fd = open(mountpoint, O_PATH | O_DIRECTORY);
	if (fd >= 0)
		(void)umount2(mountpoint, MNT_FORCE);
}

/* A fork of a program with threads: nothing but system calls from here on. */
static void guard(pid_t daemon, int control, const char *mountpoint)
{
	sigset_t all;
	int got;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGUSR1);
	(void)prctl(PR_SET_NAME, "ourofs-guardian");
	control = control >= 0 ? dup2(control, 0) : -1;
	(void)close_range(control + 1, ~0U, 0);
	/* It may have died before we asked to be told. */
	got = !chdir("/") && getppid() != daemon ? SIGUSR1 : 0;
	while (got != SIGTERM && got != SIGUSR1)
		got = sigwaitinfo(&all, NULL);
	if (got == SIGUSR1)
		abort_connection(control, mountpoint);
	_exit(0);
}

/*
 * Until it has closed what it inherited: till then the store's lock is its lock, too, and a mount right after the
 * daemon's death would find the store in use.
 */
static void wait_for_end(const int *pipe)
{
	char byte;

	close(pipe[1]);
	while (read(pipe[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(pipe[0]);
}

void guardian_start(struct guardian *guardian, const char *mountpoint)
{
	char path[PATH_ROOM];
	int control, ready[2];
	pid_t daemon = getpid();
	struct statx st;

	guardian->pid = 0;
	/* A core dump would wait for that thread, and the end of which we are to be told for the dump. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	/* The device's number alone, for which nobody has to answer: we do not serve yet. */
	if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC, 0, &st))
		return;
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", st.stx_dev_minor);
	if (pipe2(ready, O_CLOEXEC))
		return;
	control = open(path, O_WRONLY | O_CLOEXEC);
	guardian->pid = fork();
	if (guardian->pid == 0)
		guard(daemon, control, mountpoint);
	if (guardian->pid < 0)
		guardian->pid = 0;
	wait_for_end(ready);
	if (control >= 0)
		close(control);
}

void guardian_stop(struct guardian *guardian)
{
	if (!guardian->pid)
		return;
	kill(guardian->pid, SIGTERM);
	while (waitpid(guardian->pid, NULL, 0) < 0 && errno == EINTR)
		;
	guardian->pid = 0;
}
