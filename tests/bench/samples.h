/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_BENCH_SAMPLES_H
#define OUROFS_BENCH_SAMPLES_H

/* What every benchmark does with the clock. */

#include <stdlib.h>
#include <time.h>

static inline double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline int compare_samples(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts them. */
static inline double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_samples);
	return values[count / 2];
}

#endif
