/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "env_pages.h"

/*
 * Any bytes as an LMDB file: it is walked to its end, whatever it says, and what is handed out can be read. Where
 * nothing was wrong with it, nothing is on a second way either, and keys are in order.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

struct rows {
	struct buf last;
	uint64_t count;
	unsigned sum; /* so that every byte is read */
};

static int take_row(void *context, struct slice key, struct slice value)
{
	struct rows *rows = context;

	for (size_t i = 0; i < value.len; i++)
		rows->sum += (unsigned char)value.ptr[i];
	must(key.len && (!rows->count++ || slice_compare(buf_slice(&rows->last), key) < 0),
		"the order of keys");
	buf_reset(&rows->last);
	buf_add_slice(&rows->last, key);
	return 0;
}

static void walk(int fd)
{
	struct env_pages pages;
	struct rows rows = {.count = 0};
	struct err err = {0};
	size_t faults;
	int ret = env_pages_open(&pages, fd, NULL, NULL, &err);

	must(!ret || err.code == ret, "a reason");
	if (ret)
		return;
	ret = env_pages_verify(&pages, &err);
	must(!ret || err.code == ret, "a reason");
	faults = pages.faults;
	if (!ret)
		ret = env_pages_each(&pages, "documents", take_row, &rows, &err);
	must(ret || faults || !pages.faults, "a second way");
	env_pages_release(&pages);
	buf_release(&rows.last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("data.mdb", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size, "the file");
	walk(fd);
	close(fd);
	return 0;
}
