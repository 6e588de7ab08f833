/* SPDX-License-Identifier: MIT */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "store_dir.h"

void confine_secrets(void)
{
	(void)prctl(PR_SET_DUMPABLE, 0);
}

/* ---- Landlock: Documentation/userspace-api/landlock.rst of the kernel ---- */

/* As of version 6: headers may be older than the kernel. */
struct ruleset {
	uint64_t files, network, scoped;
};

enum {
	FILES_V2 = LANDLOCK_ACCESS_FS_REFER | (LANDLOCK_ACCESS_FS_REFER - 1),
	TRUNCATE = 1 << 14,  /* 3 */
	IOCTL_DEV = 1 << 15, /* 5 */
	BIND_TCP = 1 << 0,   /* 4 */
	CONNECT_TCP = 1 << 1,
	ABSTRACT_SOCKETS = 1 << 0, /* 6 */

	READ = LANDLOCK_ACCESS_FS_READ_FILE,
	LOOK = READ | LANDLOCK_ACCESS_FS_READ_DIR,
	FILES = LOOK | LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG |
		LANDLOCK_ACCESS_FS_REMOVE_FILE,
	TREES = FILES | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
		LANDLOCK_ACCESS_FS_REFER,
	DEVICE = READ | LANDLOCK_ACCESS_FS_WRITE_FILE | IOCTL_DEV,
};

/*
 * Not the scope of signals: when the daemon dies, the kernel asks for the dying one's leave to signal the guardian.
 */
static int make_ruleset(struct ruleset *ruleset)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	size_t size = sizeof(ruleset->files);

	if (version < 2)
		return -1;
	*ruleset = (struct ruleset){.files = FILES_V2};
	if (version >= 3)
		ruleset->files |= TRUNCATE;
	if (version >= 4) {
		ruleset->network = BIND_TCP | CONNECT_TCP;
		size = offsetof(struct ruleset, scoped);
	}
	if (version >= 5)
		ruleset->files |= IOCTL_DEV;
	if (version >= 6) {
		ruleset->scoped = ABSTRACT_SOCKETS;
		size = sizeof(*ruleset);
	}
	return (int)syscall(SYS_landlock_create_ruleset, ruleset, size, 0);
}

struct place {
	const char *path; /* NULL: none */
	uint64_t allowed;
	bool needed; /* where it is: without a rule for it nothing could be kept there */
};

/* At the end they look for leaks in what is mapped, and for threads. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZERS_LOOK_AT "/proc"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZERS_LOOK_AT "/proc"
#endif
#endif
#ifndef SANITIZERS_LOOK_AT
#define SANITIZERS_LOOK_AT NULL
#endif

static int add_rule(int fd, const struct ruleset *ruleset, const struct place *place)
{
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = place->allowed & ruleset->files,
		.parent_fd = open(place->path, O_PATH | O_CLOEXEC),
	};
	int ret = beneath.parent_fd < 0 ? -errno : 0;

	if (!ret && syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0))
		ret = -errno;
	if (beneath.parent_fd >= 0)
		close(beneath.parent_fd);
	return ret == -ENOENT ? 0 : ret;
}

static int allow(int fd, const struct ruleset *ruleset, const struct place *place, struct err *err)
{
	int ret = place->path ? add_rule(fd, ruleset, place) : 0;

	return ret && place->needed ? err_set(err, ret, "confining this process to %s: %s",
					      place->path, strerror(-ret))
				    : 0;
}

static int allow_places(int fd, const struct ruleset *ruleset, const struct options *options,
	struct err *err)
{
	/* options have it without links */
	size_t len = (size_t)(strrchr(options->edn_path, '/') - options->edn_path);
	char *edn_dir = strndup(options->edn_path, len ? len : 1);
	const struct place places[] = {
		{edn_dir, options->read_only ? LOOK : FILES, true},
		{options->store_dir, options->read_only ? LOOK : TREES, true},
		{options->clone_fd ? "/dev/fuse" : NULL, DEVICE, false},
		{"/dev/null", DEVICE, false},
		{"/etc/localtime", READ, false},
		{"/usr/share/zoneinfo", READ, false},
		{SANITIZERS_LOOK_AT, LOOK, false},
	};
	int ret = edn_dir ? 0 : err_set(err, -ENOMEM, "out of memory");

	for (size_t i = 0; !ret && i < sizeof(places) / sizeof(*places); i++)
		ret = allow(fd, ruleset, &places[i], err);
	free(edn_dir);
	return ret;
}

/* What is loaded when it is first needed, and could not be then. */
static void *end_thread(void *context)
{
	pthread_exit(context);
}

static void load_late_comers(void)
{
	pthread_t thread;

	tzset();
	/* glibc's libgcc_s, for pthread_exit and pthread_cancel, as libfuse ends its threads: without it they abort. */
	if (!pthread_create(&thread, NULL, end_thread, NULL))
		pthread_join(thread, NULL);
}

int confine(const struct options *options, struct err *err)
{
	struct ruleset ruleset;
	int ret = options->read_only ? 0 : store_dir_make(options->store_dir, err);
	int fd;

	if (!ret)
		ret = store_dir_check_owner(options->store_dir, err);
	if (ret)
		return ret;
	load_late_comers();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_set(err, -errno, "cannot give up privileges: %s", strerror(errno));
	fd = make_ruleset(&ruleset);
	if (fd < 0)
		return 0;
	ret = allow_places(fd, &ruleset, options, err);
	if (!ret)
		(void)syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
	return ret;
}
