/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CTL_H
#define OUROFS_CTL_H

#include <stdbool.h>

/*
 * The commands of ourofsctl: one row each of the table in ourofsctl.c, which knows the command line. A command
 * gets its operands and which of its options were given, prints results on stdout and complaints through
 * ctl_complain, and returns the exit status.
 */
enum ctl_status {
	CTL_FINE = 0,
	CTL_WRONG = 1,  /* what it looked at is not as it should be */
	CTL_FAILED = 2, /* it could not look */
};

enum { CTL_OPTIONS_MAX = 6, CTL_OPERANDS_MAX = 2 };

struct ctl_option {
	const char *name;  /* "--repair"; it may stand anywhere behind the command's name */
	char letter;       /* 'f': also as -f; or 0 */
	const char *value; /* what the word behind it is: "FILE"; NULL: it takes none */
	const char *help;
};

struct ctl_args {
	char *operands[CTL_OPERANDS_MAX]; /* NULL: not given */
	bool given[CTL_OPTIONS_MAX];      /* of each option of the row: was it given? */
	const char *values[CTL_OPTIONS_MAX];
};

struct ctl_command {
	const char *name;
	const char *usage; /* the operands: "STORE [FILE]" */
	int needed, most;  /* how many of them */
	const char *summary;
	enum ctl_status (*run)(const struct ctl_args *args);
	struct ctl_option options[CTL_OPTIONS_MAX]; /* ends with one without a name */
};

/* "ourofsctl: cause" on stderr. */
void ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The status of a command that returned ret: a failure is complained of. */
struct err;
enum ctl_status ctl_end(int ret, const struct err *err);
/* The text itself, with '?' for control bytes: keys may hold what a terminal would obey. Returns it. */
char *ctl_printable(char *text);

/* ---- files and stores ---- */

enum ctl_status ctl_to_json(const struct ctl_args *args); /* ctl_filter.c */
enum ctl_status ctl_to_edn(const struct ctl_args *args);

enum { CTL_CHECK_REPAIR, CTL_CHECK_JSON };
enum ctl_status ctl_check(const struct ctl_args *args); /* ctl_check.c */

/* Of these the first two options say what the store's memory.edn and mapping are (ctl_memory.h). */
enum { CTL_EDN, CTL_MAPPING };
enum ctl_status ctl_backup(const struct ctl_args *args); /* ctl_backup.c */
enum ctl_status ctl_export(const struct ctl_args *args); /* ctl_export.c */
enum { CTL_IMPORT_REPLACE = 2, CTL_IMPORT_DRY_RUN, CTL_IMPORT_JSON };
enum ctl_status ctl_import(const struct ctl_args *args); /* ctl_import.c */

/* ---- a mount ---- */

enum { CTL_JSON };                                       /* of all of these the first option */
enum ctl_status ctl_status(const struct ctl_args *args); /* ctl_status.c */
enum { CTL_MODE_FORCE = 1 };
enum ctl_status ctl_mode(const struct ctl_args *args); /* ctl_mode.c */
enum ctl_status ctl_sync(const struct ctl_args *args);
enum { CTL_MIGRATE_WAIT = 1 };
enum ctl_status ctl_migrate(const struct ctl_args *args);  /* ctl_migrate.c */
enum ctl_status ctl_validate(const struct ctl_args *args); /* ctl_validate.c */
enum { CTL_EVENTS_FOLLOW = 0 };
enum ctl_status ctl_events(const struct ctl_args *args); /* ctl_events.c */
enum { CTL_UNMOUNT_LAZY = 0 };
enum ctl_status ctl_unmount(const struct ctl_args *args); /* ctl_unmount.c */

#endif
