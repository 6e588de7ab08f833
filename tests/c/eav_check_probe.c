/* SPDX-License-Identifier: MIT */
/* STORE: checks its EAV store as eav_check.h does; a line a problem: kind, number, name and attribute in hex, what. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "eav_check.h"

static void print_hex(struct slice text)
{
	printf(" x");
	for (size_t i = 0; i < text.len; i++)
		printf("%02x", (unsigned char)text.ptr[i]);
}

static int print_problem(void *context, const struct eav_problem *problem)
{
	static const char *const KINDS[] = {
		"damaged", "index_without_datom", "datom_without_index"};

	(void)context;
	printf("%s %llu", KINDS[problem->kind], (unsigned long long)problem->number);
	print_hex(problem->name);
	print_hex(problem->attribute);
	printf(" %s\n", problem->what);
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = {.code = 0};
	struct eav *eav = NULL;
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int ret = fd < 0 ? -1 : eav_open(&eav, fd, argv[1], true, &err);

	if (!ret)
		ret = eav_check_all(eav, print_problem, NULL);
	if (ret)
		fprintf(stderr, "%d %s\n", ret, err.text);
	eav_close(eav);
	return ret ? 2 : 0;
}
