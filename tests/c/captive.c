/* SPDX-License-Identifier: MIT */
/*
 * A library for LD_PRELOAD that tries what a confined daemon must not be able to do, as code that an attacker
 * brought into it would. A thread that gets SIGUSR2 tries all of it.
 *
 *   OUROFS_CAPTIVE=FILE      a line for each attempt: "THREAD NAME ERRNO", 0 where it went well
 *   OUROFS_CAPTIVE_IN=DIR    the state directory, with a file "lock"
 *   OUROFS_CAPTIVE_OUT=DIR   another one, with a file "secret"
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, DISCARD = 9 };

static struct {
	int report;
	const char *in, *out;
} captive; /* set before main */

struct paths {
	char in[PATH_BYTES], out[PATH_BYTES];
};

/* A file of each directory. */
static struct paths name(const char *in, const char *out)
{
	struct paths paths;

	snprintf(paths.in, sizeof(paths.in), "%s/%s", captive.in, in);
	snprintf(paths.out, sizeof(paths.out), "%s/%s", captive.out, out);
	return paths;
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? -1 : close(fd);
}

static int read_inside(void)
{
	return try_open(name("lock", "").in, O_RDONLY);
}
static int read_outside(void)
{
	return try_open(name("", "secret").out, O_RDONLY);
}
static int write_outside(void)
{
	return try_open(name("", "secret").out, O_WRONLY);
}
static int list_outside(void)
{
	return try_open(captive.out, O_RDONLY | O_DIRECTORY);
}
static int make_outside(void)
{
	return try_open(name("", "new").out, O_WRONLY | O_CREAT);
}
static int make_directory_outside(void)
{
	return mkdir(name("", "new").out, 0700);
}
static int cut_outside(void)
{
	return truncate(name("", "secret").out, 0);
}
static int remove_outside(void)
{
	return unlink(name("", "secret").out);
}
static int make_link(void)
{
	return symlink("/etc", name("link", "").in);
}
static int make_pipe(void)
{
	return mkfifo(name("pipe", "").in, 0600);
}
static int make_device(void)
{
	return mknod(name("device", "").in, S_IFCHR | 0600, makedev(1, 3));
}
static int mount_outside(void)
{
	return mount("none", captive.out, "tmpfs", 0, NULL) || umount2(captive.out, MNT_DETACH);
}
static int bind_inside(void)
{
	return mount(captive.out, captive.in, NULL, MS_BIND, NULL) ||
	       umount2(captive.in, MNT_DETACH);
}

static int move_in(void)
{
	struct paths paths = name("secret", "secret");

	return rename(paths.out, paths.in);
}

static int move_out(void)
{
	struct paths paths = name("lock", "lock");

	return rename(paths.in, paths.out);
}

static int link_in(void)
{
	struct paths paths = name("secret", "secret");

	return link(paths.out, paths.in);
}

static int make_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int ret;

	if (chdir(captive.in))
		return -1;
	memcpy(address.sun_path, "socket", sizeof("socket"));
	ret = bind(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return ret;
}

static int connect_to_network(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(DISCARD),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ret = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof(address));

	close(fd);
	return ret;
}

static int execute(void)
{
	char *argv[] = {(char[]){"true"}, NULL};

	return execv("/bin/true", argv);
}

static const struct {
	const char *name;
	int (*attempt)(void);
} ATTEMPTS[] = {
	{"read-inside", read_inside},
	{"read-outside", read_outside},
	{"write-outside", write_outside},
	{"list-outside", list_outside},
	{"make-outside", make_outside},
	{"make-directory-outside", make_directory_outside},
	{"cut-outside", cut_outside},
	{"move-in", move_in},
	{"move-out", move_out},
	{"link-in", link_in},
	{"remove-outside", remove_outside},
	{"make-link", make_link},
	{"make-pipe", make_pipe},
	{"make-device", make_device},
	{"make-socket", make_socket},
	{"mount-outside", mount_outside},
	{"bind-inside", bind_inside},
	{"connect", connect_to_network},
	{"execute", execute},
};

static void try_all(int number)
{
	int before = errno;

	(void)number;
	for (size_t i = 0; i < sizeof(ATTEMPTS) / sizeof(*ATTEMPTS); i++) {
		int code = ATTEMPTS[i].attempt() ? errno : 0;

		dprintf(captive.report, "%d %s %d\n", (int)gettid(), ATTEMPTS[i].name, code);
	}
	errno = before;
}

__attribute__((constructor)) static void arm(void)
{
	const char *report = getenv("OUROFS_CAPTIVE");
	struct sigaction action = {.sa_handler = try_all, .sa_flags = SA_RESTART};

	if (!report)
		return;
	captive.in = strdup(getenv("OUROFS_CAPTIVE_IN"));
	captive.out = strdup(getenv("OUROFS_CAPTIVE_OUT"));
	captive.report = open(report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	sigaction(SIGUSR2, &action, NULL);
	unsetenv("OUROFS_CAPTIVE");
	unsetenv("LD_PRELOAD");
}
