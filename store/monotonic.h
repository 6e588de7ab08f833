/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MONOTONIC_H
#define OUROFS_MONOTONIC_H

#include <pthread.h>
#include <stdint.h>

/* CLOCK_MONOTONIC: what no one sets; and waiting by it, which a condition must be made for. */
int64_t monotonic_ns(void);
int64_t monotonic_ms(void);

void monotonic_cond_init(pthread_cond_t *cond);
/* As pthread_cond_timedwait, until a time of monotonic_ns. 0, or ETIMEDOUT. */
int monotonic_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns);

#endif
