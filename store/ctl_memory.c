/* SPDX-License-Identifier: MIT */
#include "ctl_memory.h"

#include "memory_internal.h"
#include "mode_file.h"
#include "schema_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EDN_DELAY_MS = 0 };

static int fail(struct err *err, const char *path)
{
	int code = -errno;

	return err_set(err, code, "%s: %s", path, strerror(-code));
}

/* NULL: out of memory. */
__attribute__((format(printf, 1, 2))) static char *format_path(const char *format, ...)
{
	char *path = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&path, format, args) < 0)
		path = NULL;
	va_end(args);
	return path;
}

/* What a mount calls garden.eav is of garden.edn, or of garden; any other name was chosen by someone. */
static char *guess_edn(const char *store)
{
	size_t len = strlen(store);
	char *path, *bare;
	struct stat st;

	if (len < 5 || strcmp(store + len - 4, ".eav") != 0 || store[len - 5] == '/')
		return format_path("%.*s/memory.edn", (int)(strrchr(store, '/') - store), store);
	path = format_path("%.*s.edn", (int)len - 4, store);
	bare = format_path("%.*s", (int)len - 4, store);
	if (path && bare && stat(path, &st) && stat(bare, &st) == 0 && S_ISREG(st.st_mode)) {
		char *other = path;

		path = bare;
		bare = other;
	}
	free(bare);
	return path;
}

/* Was there a memory.edn when the store was last in use, which the mode needs? The mode file may be ahead of the note. */
static bool had_edn(const struct ctl_memory *cm)
{
	struct memory_file_note file = {0};
	uint64_t noted = MODE_DEFAULT;
	struct saved_reader reader;
	struct saved *saved = NULL;
	enum mode mode;
	int dir_fd = open(cm->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir_fd < 0)
		return false;
	if (!saved_open(&saved, dir_fd, cm->store, true, NULL) &&
		!saved_read_begin(saved, &reader)) {
		saved_note_get(&reader, "file", &file, sizeof(file));
		saved_note_get(&reader, "mode", &noted, sizeof(noted));
		saved_read_end(&reader);
	}
	saved_close(saved);
	if (!mode_file_read(dir_fd, &mode))
		mode = noted == MODE_DATALEVIN_ONLY ? MODE_DATALEVIN_ONLY : MODE_DATALEVIN_FIRST;
	close(dir_fd);
	return mode_row(mode)->writes_edn && file.size > 0;
}

/*
 * A name that was said should be right. Where none was said, the file may well be gone or not yet there; but what is
 * elsewhere must not be taken for what is gone.
 */
static int find_edn(struct ctl_memory *cm, const char *edn, struct err *err)
{
	cm->edn = edn ? strdup(edn) : guess_edn(cm->store);
	if (!cm->edn)
		return err_set(err, -ENOMEM, "out of memory");
	if (!access(cm->edn, F_OK))
		return 0;
	if (edn)
		return fail(err, edn);
	if (had_edn(cm))
		return err_set(err, -ENOENT,
			"%s: there is no such file: --edn FILE says where the memory.edn of the "
			"store is",
			cm->edn);
	return 0;
}

int ctl_memory_find(struct ctl_memory *cm, const char *store, const char *edn, struct err *err)
{
	char *journal = NULL;
	int ret = 0;

	*cm = (struct ctl_memory){.store = realpath(store, NULL)};
	if (!cm->store)
		return fail(err, store);
	journal = format_path("%s/journal", cm->store);
	if (!journal)
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
		.still = read_only,
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
