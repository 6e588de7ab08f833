/* SPDX-License-Identifier: MIT */
#include "lock_order.h"

#include <stdbool.h>

#include "lock_order_check.h"

static void add(const void *lock, enum lock_rank rank, bool recursive)
{
	if (LOCK_ORDER_CHECKED)
		lock_order_add(lock, rank, recursive);
}

int mutex_init(pthread_mutex_t *mutex, enum lock_rank rank)
{
	int ret = pthread_mutex_init(mutex, NULL);

	if (!ret)
		add(mutex, rank, false);
	return ret;
}

int mutex_init_recursive(pthread_mutex_t *mutex, enum lock_rank rank)
{
	pthread_mutexattr_t attributes;
	int ret;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	ret = pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	if (!ret)
		add(mutex, rank, true);
	return ret;
}

int rwlock_init(pthread_rwlock_t *lock, enum lock_rank rank)
{
	int ret = pthread_rwlock_init(lock, NULL);

	if (!ret)
		add(lock, rank, false);
	return ret;
}

int rwlock_init_for_writers(pthread_rwlock_t *lock, enum lock_rank rank)
{
	pthread_rwlockattr_t attributes;
	int ret;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	ret = pthread_rwlock_init(lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	if (!ret)
		add(lock, rank, false);
	return ret;
}
