/* SPDX-License-Identifier: MIT */
#ifndef OUROFS_MODE_H
#define OUROFS_MODE_H

#include <stdbool.h>

#include "buf.h"

/*
 * The modes: which store is read first, and which ones are written. The words are what users write and
 * what the journal and saved keep.
 */
enum mode { MODE_EDN_ONLY, MODE_DUAL_WRITE, MODE_DATALEVIN_FIRST, MODE_DATALEVIN_ONLY };
enum { MODE_DEFAULT = MODE_DATALEVIN_FIRST };

struct mode_row {
	const char *name;
	bool reads_eav;  /* first; where the other is written, it is the fallback */
	bool writes_edn; /* and merges what others write there */
	bool writes_eav;
};

const struct mode_row *mode_row(enum mode mode);
/*
 * A mode's name, perhaps behind "force " and a colon, with blanks around. force (may be NULL: not
 * allowed) is set. 0 or -EINVAL.
 */
int mode_of_word(struct slice word, enum mode *mode, bool *force);

#endif
