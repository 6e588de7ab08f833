/* SPDX-License-Identifier: MIT */
#include "ctl_memory.h"

#include "schema_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EDN_DELAY_MS = 0 };

static int fail(struct err *err, const char *path)
{
	int code = -errno;

	return err_set(err, code, "%s: %s", path, strerror(-code));
}

/* The store is mostly memory.eav beside memory.edn. */
static int find_edn(struct ctl_memory *cm, const char *edn, struct err *err)
{
	char *slash = strrchr(cm->store, '/');

	if (edn)
		cm->edn = strdup(edn);
	else if (asprintf(&cm->edn, "%.*s/memory.edn", (int)(slash - cm->store), cm->store) < 0)
		cm->edn = NULL;
	if (!cm->edn)
		return err_set(err, -ENOMEM, "out of memory");
	/* it may well be gone where the EAV store is used alone; a name that was said should be right */
	if (edn && access(edn, F_OK))
		return err_set(err, -errno, "%s: %s", edn, strerror(errno));
	return 0;
}

int ctl_memory_find(struct ctl_memory *cm, const char *store, const char *edn, struct err *err)
{
	char *journal = NULL;
	int ret = 0;

	*cm = (struct ctl_memory){.store = realpath(store, NULL)};
	if (!cm->store)
		return fail(err, store);
	if (asprintf(&journal, "%s/journal", cm->store) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (access(journal, F_OK))
		ret = err_set(err, -errno, "%s: no store of ourofs: no journal in it: %s", store,
			strerror(errno));
	free(journal);
	return ret ? ret : find_edn(cm, edn, err);
}

int ctl_memory_open(struct ctl_memory *cm, const char *mapping, bool read_only, struct err *err)
{
	struct memory_options options = {
		.edn_path = cm->edn,
		.store_dir = cm->store,
		.edn_delay_ms = EDN_DELAY_MS,
		.doc_max_bytes = SIZE_MAX,
		.read_only = read_only,
	};
	struct err reason = {0};
	char text[ERR_DESCRIBED];
	int ret = schema_open(&cm->schema, mapping, &reason);

	if (ret)
		return err_set(err, ret, "%s%s%s", mapping ? mapping : "",
			!mapping      ? ""
			: reason.line ? ":"
				      : ": ",
			err_describe(&reason, text, sizeof(text)));
	options.schema = cm->schema;
	return memory_open(&cm->memory, &options, err);
}

int ctl_memory_close(struct ctl_memory *cm, struct err *err)
{
	int ret = memory_close(cm->memory, err);

	schema_free(cm->schema);
	free(cm->store);
	free(cm->edn);
	*cm = (struct ctl_memory){0};
	return ret;
}
