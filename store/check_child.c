/* SPDX-License-Identifier: MIT */
#include "check_child.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The pipe has two texts a line, each with its NUL. */
struct check_sink {
	FILE *to;
};

int check_sink_tell(struct check_sink *sink, const char *where, const char *what)
{
	bool good = fwrite(where, strlen(where) + 1, 1, sink->to) == 1 &&
		    fwrite(what, strlen(what) + 1, 1, sink->to) == 1;

	return good ? 0 : -EPIPE;
}

__attribute__((noreturn)) static void run(int fd, check_child_fn *fn, void *context)
{
	struct rlimit none = {0, 0};
	struct check_sink sink = {fdopen(fd, "w")};
	int ret = sink.to ? 0 : -ENOMEM;

	setrlimit(RLIMIT_CORE, &none);
	if (!ret)
		ret = fn(context, &sink);
	if (sink.to && fclose(sink.to) && !ret)
		ret = -EPIPE;
	_exit(-ret & 0xff);
}

static void relay(int fd, check_told_fn *told, void *context)
{
	FILE *from = fdopen(fd, "r");
	char *where = NULL;
	char *what = NULL;
	size_t where_cap = 0;
	size_t what_cap = 0;

	if (!from) {
		close(fd);
		return;
	}
	while (getdelim(&where, &where_cap, 0, from) > 0 && getdelim(&what, &what_cap, 0, from) > 0)
		told(context, where, what);
	free(where);
	free(what);
	fclose(from);
}

int check_in_child(check_child_fn *fn, check_told_fn *told, void *context, int *signal)
{
	int ends[2];
	int status = 0;
	pid_t pid;

	*signal = 0;
	fflush(NULL); /* what is buffered is the parent's to write */
	if (pipe(ends))
		return -errno;
	pid = fork();
	if (pid < 0) {
		int ret = -errno;

		close(ends[0]);
		close(ends[1]);
		return ret;
	}
	if (!pid) {
		close(ends[0]);
		run(ends[1], fn, context);
	}
	close(ends[1]);
	relay(ends[0], told, context);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFSIGNALED(status))
		*signal = WTERMSIG(status);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}
