/* SPDX-License-Identifier: MIT */
#include "backup.h"
#include "ctl_memory.h"

#include <stdio.h>
#include <sys/stat.h>

enum ctl_status ctl_backup(const struct ctl_args *args)
{
	struct ctl_memory cm;
	struct err err = {0};
	int ret = ctl_memory_find(&cm, args->operands[0], args->values[CTL_EDN], &err);

	umask(077);
	if (!ret) {
		struct backup backup = {.store = cm.store, .edn = cm.edn, .to = args->operands[1]};

		ret = backup_make(&backup, &err);
		if (!ret && backup.skipped)
			ctl_complain("%zu scratch entries are neither files nor directories, and "
				     "are left out",
				backup.skipped);
	}
	ctl_memory_close(&cm, NULL);
	return ctl_end(ret, &err);
}
