/* SPDX-License-Identifier: MIT */
#include "ctl_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EDN_DELAY_MS = 0, MAPPING_MAX_BYTES = 1 << 20 };

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

static int read_mapping(struct schema *schema, const char *path, struct err *err)
{
	char *text = malloc(MAPPING_MAX_BYTES);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 || !text ? -1 : read(fd, text, MAPPING_MAX_BYTES);
	struct err reason = {0};
	int ret = got < 0 ? fail(err, path) : 0;

	if (!ret) {
		ret = schema_add(schema, slice_of(text, (size_t)got), &reason);
		if (ret)
			err_set(err, ret, "%s:%s", path, reason.text);
	}
	if (fd >= 0)
		close(fd);
	free(text);
	return ret;
}

int ctl_memory_open(struct ctl_memory *cm, const char *mapping, bool read_only, struct err *err)
{
	const struct memory_options options = {
		.edn_path = cm->edn,
		.store_dir = cm->store,
		.edn_delay_ms = EDN_DELAY_MS,
		.doc_max_bytes = SIZE_MAX,
		.read_only = read_only,
	};
	struct memory_options with_schema = options;
	int ret = schema_new(&cm->schema, err);

	if (!ret && mapping)
		ret = read_mapping(cm->schema, mapping, err);
	with_schema.schema = cm->schema;
	return ret ? ret : memory_open(&cm->memory, &with_schema, err);
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
