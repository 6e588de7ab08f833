/* SPDX-License-Identifier: MIT */
#include "validator.h"

#include <errno.h>

#include "eav_check.h"

static int tell(void *context, const struct eav_problem *problem)
{
	static const enum validation_kind KINDS[] = {
		[EAV_DAMAGED] = VALIDATION_DAMAGED,
		[EAV_INDEX_WITHOUT_DATOM] = VALIDATION_INDEX_WITHOUT_DATOM,
		[EAV_DATOM_WITHOUT_INDEX] = VALIDATION_DATOM_WITHOUT_INDEX,
	};

	return validator_found(context, KINDS[problem->kind], problem->name, problem->attribute,
		problem->what);
}

/* 1: there is more to do. */
static int check_slice(struct validator *v, struct eav_check *check, struct err *err)
{
	struct memory *m = v->m;
	struct eav_reader reader;
	int ret = validator_lock(v, err);

	if (ret)
		return ret;
	ret = eav_read_begin(m->eav.store, &reader);
	if (!ret) {
		ret = eav_check_some(check, &reader);
		eav_read_end(&reader);
	}
	pthread_rwlock_unlock(&m->lock);
	return ret;
}

int validator_check_index(struct validator *v, struct err *err)
{
	struct eav_check *check = eav_check_new(tell, v);
	int ret = check ? 1 : -ENOMEM;

	while (ret == 1)
		ret = check_slice(v, check, err);
	eav_check_free(check);
	return ret;
}
