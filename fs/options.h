/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_OPTIONS_H
#define OUROFS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "err.h"
#include "log.h"

/*
 * The command line of ourofs(1), in the conventions of sshfs and mount.fuse3. One table holds every
 * option; parsing, --help and the man page's test go by it.
 */
struct options {
	char *edn_path;       /* absolute, links resolved: made so before any fork or chdir */
	char *mountpoint;     /* absolute; not looked at, it may be stale */
	char *store_dir;      /* absolute; memory.eav beside memory.edn unless given */
	char *mapping_path;   /* NULL: only the built-in patterns */
	bool foreground;      /* -f (-d implies it) */
	bool debug;           /* -d */
	bool single_threaded; /* -s */
	bool read_only;       /* -o ro */
	bool allow_other;
	bool nonempty;
	bool control_listed; /* -o control=listed */
	bool clone_fd;       /* each thread has a /dev/fuse of its own */
	bool show_help;      /* the paths are not there then, nor with show_version */
	bool show_version;
	bool force; /* -o force: see -o mode= */
	char *mode; /* -o mode=, NULL: as it was */
	enum log_level log_level;
	uid_t uid; /* the mounting user's unless given */
	gid_t gid;
	mode_t umask;              /* permission bits taken off everything shown, 0 unless given */
	unsigned edn_delay_ms;     /* 100 */
	unsigned max_threads;      /* that serve requests: 10 */
	unsigned max_idle_threads; /* of them, kept while there is nothing to do: 10 */
	size_t doc_max_bytes;      /* 32 MiB */
	size_t scratch_max_bytes;  /* 256 MiB */
	char *fuse_options; /* for libfuse and the kernel, escaped: "noatime,..."; NULL: none */
};

/* 0, or -EINVAL (or -ENOMEM) with the reason; release in either case. Sizes take K, M, G (binary). */
int options_parse(struct options *options, int argc, char **argv, struct err *err);
void options_release(struct options *options);
/* The help text, generated from the table, to standard output. */
void options_print_help(const char *program);

#endif
