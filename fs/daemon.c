/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whoever reads or writes these in a daemon meant someone who is gone. */
static void redirect(int fd, int flags)
{
	int null = open("/dev/null", flags | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
}

static int become_child(struct daemon *daemon, const int ends[2], struct err *err)
{
	close(ends[0]);
	daemon->pipe = ends[1];
	if (setsid() < 0 || chdir("/"))
		return err_set(err, -errno, "cannot become a daemon: %s", strerror(errno));
	redirect(STDIN_FILENO, O_RDONLY);
	return 0;
}

int daemon_fork(struct daemon *daemon, const char *mountpoint, struct err *err)
{
	struct stat st;
	int ends[2];

	*daemon = (struct daemon){.pipe = -1};
	if (stat(mountpoint, &st))
		return err_set(err, -errno, "%s: %s", mountpoint, strerror(errno));
	daemon->under = st.st_dev;
	if (pipe2(ends, O_CLOEXEC))
		return err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	fflush(NULL);
	daemon->pid = fork();
	if (daemon->pid == 0)
		return become_child(daemon, ends, err);
	close(ends[1]);
	if (daemon->pid < 0) {
		close(ends[0]);
		return err_set(err, -errno, "cannot fork: %s", strerror(errno));
	}
	daemon->pipe = ends[0];
	return 0;
}

/* Did the byte come? Its absence means that the child has ended or is about to. */
static bool child_is_ready(int pipe)
{
	char byte;
	ssize_t len;

	do
		len = read(pipe, &byte, 1);
	while (len < 0 && errno == EINTR);
	return len == 1;
}

static int explain_end(const struct daemon *daemon, struct err *err)
{
	int status = 0;
	pid_t pid;

	do
		pid = waitpid(daemon->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	if (pid == daemon->pid && WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return err_set(err, -ECHILD, "%s", "");
	if (pid == daemon->pid && WIFSIGNALED(status))
		return err_set(err, -EIO, "the daemon was ended by signal %d (%s) before it served",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	return err_set(err, -EIO, "the daemon ended before it served");
}

int daemon_wait(struct daemon *daemon, const char *mountpoint, struct err *err)
{
	bool ready = child_is_ready(daemon->pipe);
	struct stat st;

	close(daemon->pipe);
	daemon->pipe = -1;
	if (!ready)
		return explain_end(daemon, err);
	if (stat(mountpoint, &st)) /* waits for the answer */
		return err_set(err, -errno, "%s: the mount does not answer: %s", mountpoint,
			strerror(errno));
	if (st.st_dev == daemon->under)
		return err_set(err, -EIO, "%s: was unmounted at once", mountpoint);
	return 0;
}

void daemon_ready(struct daemon *daemon)
{
	if (daemon->pipe < 0)
		return;
	redirect(STDOUT_FILENO, O_WRONLY);
	redirect(STDERR_FILENO, O_WRONLY);
	while (write(daemon->pipe, "1", 1) < 0 && errno == EINTR)
		;
	close(daemon->pipe);
	daemon->pipe = -1;
}
