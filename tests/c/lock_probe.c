/* SPDX-License-Identifier: MIT */
/*
 * Takes locks as it is told, a word each, with the check of their order: see CASES. Ends with 0, or is aborted by the
 * check, which says why.
 */
#include <stdio.h>
#include <string.h>

#include "lock_order.h"

static pthread_mutex_t outer, inner, same[2], recursive;
static pthread_rwlock_t shared;
static pthread_cond_t done;

static void in_order(void)
{
	pthread_mutex_lock(&outer);
	pthread_rwlock_rdlock(&shared);
	pthread_mutex_lock(&inner);
	pthread_mutex_unlock(&outer);
	pthread_mutex_unlock(&inner);
	pthread_rwlock_unlock(&shared);
	pthread_mutex_lock(&outer);
	pthread_mutex_unlock(&outer);
}

static void out_of_order(void)
{
	pthread_mutex_lock(&inner);
	pthread_mutex_lock(&outer);
}

static void under_a_reader(void)
{
	pthread_rwlock_rdlock(&shared);
	pthread_mutex_lock(&outer);
}

static void readers_nest(void)
{
	pthread_rwlock_rdlock(&shared);
	pthread_rwlock_rdlock(&shared);
}

static void tried(void)
{
	pthread_mutex_lock(&inner);
	(void)pthread_mutex_trylock(&outer);
	pthread_mutex_unlock(&inner);
}

static void of_one_rank(void)
{
	pthread_mutex_lock(&same[0]);
	pthread_mutex_lock(&same[1]);
}

static void of_one_rank_downwards(void)
{
	pthread_mutex_lock(&same[1]);
	pthread_mutex_lock(&same[0]);
}

static void again(void)
{
	pthread_mutex_lock(&inner);
	pthread_mutex_lock(&inner);
}

static void again_where_it_may(void)
{
	pthread_mutex_lock(&recursive);
	pthread_mutex_lock(&recursive);
}

static void wait_with(pthread_mutex_t *held)
{
	const struct timespec past = {0, 0};

	pthread_mutex_lock(held);
	pthread_mutex_lock(&inner);
	pthread_cond_timedwait(&done, &inner, &past);
	pthread_mutex_unlock(&inner);
}

static void waits(void)
{
	wait_with(&outer);
}

static void waits_under_another(void)
{
	wait_with(&recursive);
}

static void not_held(void)
{
	pthread_mutex_unlock(&outer);
}

static void without_rank(void)
{
	static pthread_mutex_t other = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&other);
}

static const struct {
	const char *name;
	void (*run)(void);
} CASES[] = {
	{"in_order", in_order},
	{"out_of_order", out_of_order},
	{"under_a_reader", under_a_reader},
	{"readers_nest", readers_nest},
	{"tried", tried},
	{"of_one_rank", of_one_rank},
	{"of_one_rank_downwards", of_one_rank_downwards},
	{"again", again},
	{"again_where_it_may", again_where_it_may},
	{"waits", waits},
	{"waits_under_another", waits_under_another},
	{"not_held", not_held},
	{"without_rank", without_rank},
};

int main(int argc, char **argv)
{
	pthread_cond_init(&done, NULL);
	mutex_init(&outer, LOCK_SWITCHING);
	mutex_init(&same[0], LOCK_COMMIT);
	mutex_init(&same[1], LOCK_COMMIT);
	mutex_init_recursive(&recursive, LOCK_FS);
	rwlock_init_for_writers(&shared, LOCK_MEMORY);
	mutex_init(&inner, LOCK_PACE);
	for (size_t i = 0; argc == 2 && i < sizeof(CASES) / sizeof(*CASES); i++) {
		if (strcmp(argv[1], CASES[i].name) == 0) {
			CASES[i].run();
			return 0;
		}
	}
	return 2;
}
