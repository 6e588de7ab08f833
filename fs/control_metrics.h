/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_CONTROL_METRICS_H
#define OUROFS_CONTROL_METRICS_H

#include "state.h"

/* The text of /.metrics. */
int control_read_metrics(struct fs *fs, struct buf *out);

#endif
