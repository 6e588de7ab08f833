/* SPDX-License-Identifier: MIT */
#include "env_look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "env.h"
#include "env_notes.h"
#include "env_pages.h"
#include "regular.h"

struct examination {
	const char *name;
	char first[96]; /* what is wrong, with its place */
};

int env_refuse(const char *name, struct err *err)
{
	return err_set(err, -EINVAL, "%s belongs to another program: choose another store", name);
}

int env_damaged_notes(const char *name, struct err *err)
{
	return err_set(err, -EUCLEAN, "%s: its notes are damaged (ourofsctl check tells more)",
		name);
}

static void take_fault(void *context, const char *where, const char *what)
{
	struct examination *found = context;

	if (!found->first[0])
		snprintf(found->first, sizeof(found->first), "%s: %s", where, what);
}

static int take_note(void *context, struct slice name, struct slice value)
{
	env_seal_add(context, name, value);
	return 0;
}

static int examine_notes(struct env_pages *pages, struct err *err)
{
	const struct examination *found = pages->context;
	struct env_seal seal = {0};
	int ret = env_pages_each(pages, ENV_MARK, take_note, &seal, err);

	if (ret || env_seal_is_good(&seal))
		return ret;
	return env_damaged_notes(found->name, err);
}

/* What is damaged is ours, as far as can be told. */
static int examine_pages(struct env_pages *pages, struct err *err)
{
	const struct examination *found = pages->context;
	bool ours = true;
	int ret = env_pages_verify(pages, err);

	if (ret || !pages->faults)
		return ret ? ret : examine_notes(pages, err);
	if (pages->lists_tables)
		ret = env_pages_has(pages, ENV_MARK, &ours, err);
	if (ret)
		return ret;
	return ours ? err_set(err, -EUCLEAN, "%s: %s (ourofsctl check tells more)", found->name,
			      found->first)
		    : env_refuse(found->name, err);
}

int env_examine(int dir_fd, const char *name, struct err *err)
{
	struct examination found = {.name = name};
	struct env_pages pages;
	struct err reason = {0};
	int fd = regular_open(dir_fd, "data.mdb", O_RDONLY);
	int ret;

	if (fd < 0)
		return err_set(err, fd, "%s: cannot open: %s", name, strerror(-fd));
	ret = env_pages_open(&pages, fd, take_fault, &found, &reason);
	if (!ret) {
		ret = examine_pages(&pages, err);
		env_pages_release(&pages);
	} else {
		/* another program's database has headers */
		ret = ret == -EINVAL
			      ? err_set(err, -EUCLEAN,
					"%s belongs to another program, or is damaged (ourofsctl "
					"check tells more)",
					name)
			      : err_set(err, ret, "%s: %s", name, reason.text);
	}
	close(fd);
	return ret;
}
