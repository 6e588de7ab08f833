/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CTL_H
#define OUROFS_CTL_H

/*
 * The commands of ourofsctl: one row each of the table in ourofsctl.c, which knows the command line. A command
 * gets its operands and which of its flags were given, prints results on stdout and complaints through
 * ctl_complain, and returns the exit status.
 */
enum ctl_status {
	CTL_FINE = 0,
	CTL_WRONG = 1,  /* what it looked at is not as it should be */
	CTL_FAILED = 2, /* it could not look */
};

enum { CTL_FLAGS_MAX = 4 };

struct ctl_command {
	const char *name;
	int operands;                     /* how many words follow the name */
	const char *usage;                /* those words */
	const char *flags[CTL_FLAGS_MAX]; /* "--repair"; they may stand anywhere behind the name */
	const char *summary;
	/* bit i of flags: the i-th was given */
	enum ctl_status (*run)(char **operands, unsigned flags);
};

/* "ourofsctl: cause" on stderr. */
void ctl_complain(const char *cause);

enum ctl_status ctl_to_json(char **operands, unsigned flags); /* ctl_filter.c */
enum ctl_status ctl_to_edn(char **operands, unsigned flags);

enum { CTL_CHECK_REPAIR = 1, CTL_CHECK_JSON = 2 };
enum ctl_status ctl_check(char **operands, unsigned flags); /* ctl_check.c */

#endif
